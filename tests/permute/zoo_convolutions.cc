#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

constexpr std::int64_t kBatch = 2;
const Dims kImage = {kBatch, 4, 6, 6};

ZooGraph ConvBnReluConv() {
  ZooNet net("conv_bn_relu_conv");
  const std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  return net.Done(net.Conv(h, 16, 8));
}

ZooGraph ThreeConvs() {
  ZooNet net("conv_chain");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  h = net.ConvBnRelu(h, 16, 12, {.kernel = 1});
  h = net.Op("HardSwish", {net.Conv(h, 12, 8, {.stride = 2})});
  return net.Done(net.Conv(h, 8, 4, {.kernel = 1}));
}

ZooGraph Depthwise(std::int64_t multiplier) {
  ZooNet net(fmt::format("depthwise_x{}", multiplier));
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  h = net.ConvBnRelu(h, 16, 16 * multiplier, {.group = 16});
  return net.Done(net.Conv(h, 16 * multiplier, 8, {.kernel = 1}));
}

ZooGraph Grouped(std::int64_t groups, std::int64_t channels) {
  ZooNet net(fmt::format("grouped_{}_of_{}", groups, channels));
  const std::int64_t all = groups * channels;
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 12);
  h = net.ConvBnRelu(h, 12, all, {.kernel = 1});
  h = net.ConvBnRelu(h, all, all, {.group = groups});
  return net.Done(net.Conv(h, all, 8, {.kernel = 1}));
}

// Weight [in, out / groups, 2, 2].
ZooGraph Deconvolution(std::int64_t groups) {
  ZooNet net(groups == 1 ? "conv_transpose" : "conv_transpose_grouped");
  std::string h = net.ConvBnRelu(net.Input({kBatch, 4, 4, 4}), 4, 16);
  h = net.Op("ConvTranspose", {h, net.Weight({16, 12 / groups, 2, 2}, 16 / groups), net.Bias(12)},
             {{"strides", Nums({2, 2})}, {"group", Num(groups)}});
  return net.Done(net.Conv(net.Relu(net.BatchNorm(h, 12)), 12, 4));
}

// The same weight twice in a row: its inputs and outputs are one group.
ZooGraph SharedInARow() {
  ZooNet net("shared_weight_in_a_row");
  const std::string weight = net.Weight({16, 16, 3, 3}, 16 * 9);
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  for (int i = 0; i < 2; ++i) h = net.PRelu(net.ConvBy(h, weight), 16);
  return net.Done(net.Conv(h, 16, 8, {.kernel = 1}));
}

// One weight makes the channels of two branches, each with a reader of its own.
ZooGraph SharedByProducers() {
  ZooNet net("shared_weight_two_producers");
  const std::string x = net.Input(kImage), other = net.Input(kImage, "other");
  const std::string weight = net.Weight({16, 4, 3, 3}, 4 * 9);
  const std::string a = net.Relu(net.BatchNorm(net.ConvBy(x, weight), 16));
  const std::string b = net.Op("Sigmoid", {net.ConvBy(other, weight)});
  return net.Done(net.Add(net.Conv(a, 16, 8), net.Conv(b, 16, 8, {.kernel = 1})));
}

// One weight reads the channels of two branches that different weights made.
ZooGraph SharedByConsumers() {
  ZooNet net("shared_weight_two_consumers");
  const std::string x = net.Input(kImage);
  const std::string a = net.ConvBnRelu(x, 4, 16), b = net.PRelu(net.Conv(x, 4, 16), 16);
  const std::string weight = net.Weight({8, 16, 3, 3}, 16 * 9);
  return net.Done(net.Op("Sub", {net.Relu(net.ConvBy(a, weight)), net.ConvBy(b, weight)}));
}

// Siamese: one stack on two inputs, and the head reads the product.
ZooGraph Siamese() {
  ZooNet net("siamese");
  const std::string w1 = net.Weight({16, 4, 3, 3}, 4 * 9), w2 = net.Weight({8, 16, 3, 3}, 16 * 9);
  std::vector<std::string> sides;
  for (const char* const name : {"x", "other"}) {
    const std::string h = net.Op("Tanh", {net.ConvBy(net.Input(kImage, name), w1)});
    sides.push_back(net.Op("Tanh", {net.ConvBy(h, w2)}));
  }
  return net.Done(net.Conv(net.Mul(sides[0], sides[1]), 8, 4, {.kernel = 1}));
}

ZooGraph InputTwice() {
  ZooNet net("input_twice");
  const std::string x = net.Input({kBatch, 8, 6, 6});
  const std::string a = net.ConvBnRelu(x, 8, 16), b = net.ConvBnRelu(x, 8, 16, {.kernel = 1});
  return net.Done(net.Conv(net.Add(a, b), 16, 4, {.kernel = 1}), true, "input 'x'");
}

// A skip from the input holds what is added to it.
ZooGraph InputSkip() {
  ZooNet net("input_skip");
  const std::string x = net.Input({kBatch, 8, 6, 6});
  const std::string h = net.Add(x, net.BatchNorm(net.Conv(x, 8, 8), 8));
  return net.Done(net.Conv(net.Relu(h), 8, 4), false, "input 'x'");
}

ZooGraph InnerOutput() {
  ZooNet net("inner_output");
  const std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  net.builder().Add("Relu", {net.Conv(h, 16, 16)}, {"inner"}).Output("inner");
  return net.Done(net.Conv("inner", 16, 4), true, "output 'inner'");
}

ZooGraph OnlyInnerOutput() {
  ZooNet net("inner_output_only");
  net.builder().Add("Relu", {net.Conv(net.Input(kImage), 4, 16)}, {"inner"}).Output("inner");
  return net.Done(net.Conv("inner", 16, 4), false, "output 'inner'");
}

}  // namespace

void AddConvolutions(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {ConvBnReluConv(), ThreeConvs(), Depthwise(1), Depthwise(2),
                           Grouped(2, 8), Grouped(4, 4), Deconvolution(1), Deconvolution(4),
                           SharedInARow(), SharedByProducers(), SharedByConsumers(), Siamese(),
                           InputTwice(), InputSkip(), InnerOutput(), OnlyInnerOutput()});
}

}  // namespace espalier::testing
