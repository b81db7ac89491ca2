#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 8, 8};

// relu(shortcut + bn(conv(relu(bn(conv)))))
std::string BasicBlock(ZooNet* net, const std::string& x, std::int64_t in, std::int64_t out,
                       std::int64_t stride) {
  std::string h = net->ConvBnRelu(x, in, out, {.stride = stride});
  h = net->BatchNorm(net->Conv(h, out, out), out);
  std::string shortcut = x;
  if (in != out || stride != 1) {
    shortcut = net->BatchNorm(net->Conv(x, in, out, {.kernel = 1, .stride = stride}), out);
  }
  return net->Relu(net->Add(h, shortcut));
}

std::string Classify(ZooNet* net, const std::string& x, std::int64_t channels) {
  return net->Gemm(net->Op("Flatten", {net->GlobalPool(x)}), channels, 8);
}

ZooGraph ResidualOne() {
  ZooNet net("residual_one");
  const std::string h = BasicBlock(&net, net.ConvBnRelu(net.Input(kImage), 4, 16), 16, 16, 1);
  return net.Done(net.Conv(h, 16, 8));
}

ZooGraph ResidualThree() {
  ZooNet net("residual_three_projection");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 8);
  h = BasicBlock(&net, h, 8, 8, 1);
  h = BasicBlock(&net, h, 8, 16, 2);
  h = BasicBlock(&net, h, 16, 16, 1);
  return net.Done(Classify(&net, h, 16));
}

ZooGraph ResidualConvsOnly() {
  ZooNet net("residual_of_residuals");
  std::string h = net.Conv(net.Input(kImage), 4, 16);
  const std::string first = h;
  for (int i = 0; i < 3; ++i) h = net.Add(h, net.Conv(net.Relu(h), 16, 16));
  return net.Done(net.Conv(net.Op("Sum", {h, first, net.Relu(h)}), 16, 8, {.kernel = 1}));
}

ZooGraph Bottlenecks() {
  ZooNet net("resnet_bottleneck");
  std::string h = net.MaxPool(net.ConvBnRelu(net.Input(kImage), 4, 8), 3, 2);
  for (const std::int64_t in : {8, 32}) {
    std::string b = net.ConvBnRelu(h, in, 8, {.kernel = 1});
    b = net.BatchNorm(net.Conv(net.ConvBnRelu(b, 8, 8), 8, 32, {.kernel = 1}), 32);
    if (in != 32) h = net.BatchNorm(net.Conv(h, in, 32, {.kernel = 1}), 32);
    h = net.Relu(net.Add(b, h));
  }
  return net.Done(Classify(&net, h, 32));
}

std::string SqueezeExcite(ZooNet* net, const std::string& x, std::int64_t channels,
                          const std::string& pooled, const std::string& gate) {
  std::string s = net->Silu(net->Conv(pooled, channels, 4, {.kernel = 1}));
  s = net->Op(gate, {net->Conv(s, 4, channels, {.kernel = 1})});
  return net->Mul(x, s);
}

ZooGraph SqueezeExciteAlone(bool reduce) {
  ZooNet net(reduce ? "squeeze_excite_reduce_mean" : "squeeze_excite");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  const std::string pooled = reduce ? net.Reduce("ReduceMean", h, {2, 3}) : net.GlobalPool(h);
  h = SqueezeExcite(&net, h, 16, pooled, reduce ? "HardSigmoid" : "Sigmoid");
  return net.Done(net.Conv(h, 16, 8));
}

// Squeeze and excite by fully connected layers, as in the first networks that had it.
ZooGraph SqueezeExciteGemm() {
  ZooNet net("squeeze_excite_gemm");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  std::string s = net.Op("Flatten", {net.GlobalPool(h)});
  s = net.Op("Sigmoid", {net.Gemm(net.Silu(net.Gemm(s, 16, 8)), 8, 16)});
  h = net.Mul(h, net.Op("Unsqueeze", {s, net.Ints({2, 3})}));
  return net.Done(net.Conv(h, 16, 8));
}

// Expand, depthwise, project; with `excite` as in EfficientNet.
std::string InvertedResidual(ZooNet* net, const std::string& x, std::int64_t channels,
                             bool excite) {
  const std::int64_t wide = 4 * channels;
  const auto bend = [&](const std::string& value) {
    return excite ? net->Silu(value) : net->Op("Clip", {value, net->Float(0), net->Float(6)});
  };
  std::string h = bend(net->BatchNorm(net->Conv(x, channels, wide, {.kernel = 1}), wide));
  h = bend(net->BatchNorm(net->Conv(h, wide, wide, {.group = wide}), wide));
  if (excite) h = SqueezeExcite(net, h, wide, net->GlobalPool(h), "Sigmoid");
  h = net->BatchNorm(net->Conv(h, wide, channels, {.kernel = 1}), channels);
  return net->Add(x, h);
}

ZooGraph MobileNet(bool excite) {
  ZooNet net(excite ? "efficientnet_mbconv" : "mobilenet_v2_inverted_residual");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 8, {.stride = 2});
  for (int i = 0; i < 2; ++i) h = InvertedResidual(&net, h, 8, excite);
  return net.Done(Classify(&net, net.ConvBnRelu(h, 8, 16, {.kernel = 1}), 16));
}

ZooGraph Inception() {
  ZooNet net("inception");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  for (int i = 0; i < 2; ++i) {
    const std::string one = net.ConvBnRelu(h, 16, 4, {.kernel = 1});
    const std::string three = net.ConvBnRelu(net.ConvBnRelu(h, 16, 8, {.kernel = 1}), 8, 6);
    const std::string five =
        net.ConvBnRelu(net.ConvBnRelu(h, 16, 4, {.kernel = 1}), 4, 3, {.kernel = 5});
    const std::string pool = net.ConvBnRelu(net.MaxPool(h, 3, 1), 16, 3, {.kernel = 1});
    h = net.Concat({one, three, five, pool});
  }
  return net.Done(Classify(&net, h, 16));
}

// YOLO: a split, residual bottlenecks on one half, all parts joined; then pooling in a row.
ZooGraph CspSppf() {
  ZooNet net("yolo_csp_sppf");
  std::string h = net.Silu(net.BatchNorm(net.Conv(net.Input(kImage), 4, 16), 16));
  h = net.Silu(net.Conv(h, 16, 16, {.kernel = 1}));
  std::vector<std::string> parts = net.Split(h, {8, 8});
  for (int i = 0; i < 2; ++i) {
    const std::string b = net.Silu(net.Conv(net.Silu(net.Conv(parts.back(), 8, 4)), 4, 8));
    parts.push_back(net.Add(parts.back(), b));
  }
  h = net.Silu(net.BatchNorm(net.Conv(net.Concat(parts), 32, 16, {.kernel = 1}), 16));
  std::vector<std::string> pools = {net.Silu(net.Conv(h, 16, 8, {.kernel = 1}))};
  for (int i = 0; i < 3; ++i) pools.push_back(net.MaxPool(pools.back(), 5, 1));
  h = net.Silu(net.Conv(net.Concat(pools), 32, 16, {.kernel = 1}));
  return net.Done(net.Conv(h, 16, 4, {.kernel = 1}));
}

std::string Upsample(ZooNet* net, const std::string& x) {
  const std::string scales = net->Store(FloatVector({1, 1, 2, 2}));
  return net->Op("Resize", {x, "", scales}, {{"mode", Attribute(std::string("nearest"))}});
}

ZooGraph UNet() {
  ZooNet net("unet");
  const std::string top = net.ConvBnRelu(net.Input(kImage), 4, 8);
  const std::string middle = net.ConvBnRelu(net.MaxPool(top, 2, 2), 8, 12);
  const std::string low = net.ConvBnRelu(net.MaxPool(middle, 2, 2), 12, 16);
  std::string h =
      net.Op("ConvTranspose", {low, net.Weight({16, 8, 2, 2}, 16)}, {{"strides", Nums({2, 2})}});
  h = net.ConvBnRelu(net.Concat({middle, h}), 20, 12);
  h = net.ConvBnRelu(net.Concat({Upsample(&net, h), top}), 20, 8);
  return net.Done(net.Conv(h, 8, 4, {.kernel = 1}));
}

// A pyramid: levels of one width are resized and added, then read by one shared head.
ZooGraph FeaturePyramid() {
  ZooNet net("feature_pyramid_shared_head");
  const std::string c1 = net.ConvBnRelu(net.Input(kImage), 4, 8);
  const std::string c2 = net.ConvBnRelu(c1, 8, 16, {.stride = 2});
  const std::string p2 = net.Conv(c2, 16, 12, {.kernel = 1});
  const std::string p1 = net.Add(net.Conv(c1, 8, 12, {.kernel = 1}), Upsample(&net, p2));
  const std::string w1 = net.Weight({16, 12, 3, 3}, 12 * 9), w2 = net.Weight({4, 16, 3, 3}, 144);
  std::vector<std::string> outs;
  for (const std::string& level : {p1, p2}) {
    outs.push_back(net.ConvBy(net.Relu(net.BatchNorm(net.ConvBy(level, w1), 16)), w2));
  }
  return net.Done(net.Add(outs[0], Upsample(&net, outs[1])));
}

ZooGraph ConvNeXt() {
  ZooNet net("convnext_block");
  std::string h = net.Conv(net.Input(kImage), 4, 16);
  for (int i = 0; i < 2; ++i) {
    std::string b = net.Transpose(net.Conv(h, 16, 16, {.kernel = 7, .group = 16}), {0, 2, 3, 1});
    b = net.Gelu(net.Linear(net.LayerNorm(b, 16), 16, 32));
    b = net.Mul(net.Linear(b, 32, 16), net.Uniform({16}, 0.2, 1));
    h = net.Add(h, net.Transpose(b, {0, 3, 1, 2}));
  }
  return net.Done(Classify(&net, h, 16));
}

}  // namespace

void AddBlocks(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {ResidualOne(), ResidualThree(), ResidualConvsOnly(), Bottlenecks(),
                           SqueezeExciteAlone(false), SqueezeExciteAlone(true), SqueezeExciteGemm(),
                           MobileNet(false), MobileNet(true), Inception(), CspSppf(), UNet(),
                           FeaturePyramid(), ConvNeXt()});
}

}  // namespace espalier::testing
