#include "tests/permute/zoo_net.h"

// Channels that are only partly free, or cut and tied in ways that shapes alone do not show.
namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 6, 6};

std::string Stem(ZooNet* net, std::int64_t channels = 16) {
  return net->ConvBnRelu(net->Input(kImage), 4, channels);
}

ZooGraph Head(ZooNet* net, const std::string& h, bool moves = true, std::string reason = "") {
  return net->Done(net->Conv(h, 16, 8), moves, std::move(reason));
}

// Channels 2i and 2i + 1 are stacked along the rows: pairs move, and the two of a pair do not.
ZooGraph PairsToRows() {
  ZooNet net("reshape_pairs_to_rows");
  const std::string h = net.Reshape(Stem(&net, 32), {2, 16, 12, 6});
  return Head(&net, h, false, "Conv");
}

// 5 channels of 16 pixels are read as 16 rows of 5: no channel stays whole.
ZooGraph AcrossChannels() {
  ZooNet net("reshape_across_channels");
  const std::string h = net.Conv(net.Input({2, 4, 4, 4}), 4, 5);
  const std::string rows = net.Reshape(h, {2, 16, 5});
  return net.Done(net.Op("MatMul", {net.Weight({8, 16}, 16), rows}), false,
                  "no other channel is used in the same places");
}

// One branch of the sum knows positions: so does the sum.
ZooGraph CumSumInResidual() {
  ZooNet net("cumsum_in_residual");
  const std::string h = Stem(&net);
  const std::string sum = net.Op("CumSum", {net.Conv(h, 16, 16), net.Store(IntScalar(1))});
  return Head(&net, net.Add(h, net.Mul(sum, net.Float(0.3F))), false, "CumSum");
}

ZooGraph CumSumOfPart() {
  ZooNet net("cumsum_of_part");
  const std::vector<std::string> parts = net.Split(Stem(&net), {8, 8});
  const std::string sum = net.Op("CumSum", {parts[0], net.Store(IntScalar(1))});
  return Head(&net, net.Concat({sum, parts[1]}), true, "CumSum");
}

ZooGraph OutputOfPart() {
  ZooNet net("output_of_part");
  const std::string h = Stem(&net);
  net.builder().Add("Identity", {net.Slice(h, 4, 8)}, {"inner"}).Output("inner");
  return Head(&net, h, true, "output 'inner'");
}

ZooGraph ConcatWithInput() {
  ZooNet net("concat_with_input");
  const std::string x = net.Input({2, 6, 6, 6});
  return Head(&net, net.Concat({x, net.PRelu(net.Conv(x, 6, 10), 10)}), true, "input 'x'");
}

// Two images of 16 channels become one of 32, with a filter for each.
ZooGraph BatchIntoChannels() {
  ZooNet net("batch_into_channels");
  std::string h = net.Reshape(Stem(&net), {1, 32, 6, 6});
  h = net.Reshape(net.Conv(h, 32, 32, {.group = 32}), {2, 16, 6, 6});
  return Head(&net, h);
}

// Opset 12: axes and sizes are attributes, and Softmax takes all axes from its own on together.
ZooGraph OldOpset() {
  ZooNet net("old_opset");
  net.builder().graph().opsets[""] = 12;
  const std::vector<std::string> parts = net.Ops("Split", {net.Conv(net.Input(kImage), 4, 16)}, 2,
                                                 {{"axis", Num(1)}, {"split", Nums({6, 10})}});
  std::string h = net.Concat({parts[1], net.PRelu(parts[0], 6)});
  h = net.Mul(net.Op("Softmax", {h}), net.Float(300));
  h = net.Op("ReduceMean", {net.Conv(h, 16, 16)}, {{"axes", Nums({2})}});
  h = net.Op("Squeeze", {h}, {{"axes", Nums({2})}});
  h = net.Op("MatMul", {net.Weight({8, 16}, 16), h});
  return net.Done(h);
}

// A layer that no output needs.
ZooGraph UnusedBranch() {
  ZooNet net("unused_branch");
  const std::string h = Stem(&net);
  net.Op("GlobalMaxPool", {h});
  return Head(&net, net.Op("Identity", {h}));
}

// The weight is computed from a direction and a length for each channel.
ZooGraph WeightNorm() {
  ZooNet net("weight_norm");
  std::string h = Stem(&net);
  const std::string weight =
      net.Mul(net.Weight({16, 16, 3, 3}, 144), net.Uniform({16, 1, 1, 1}, 0.5, 2));
  h = net.PRelu(net.ConvBy(h, weight), 16);
  return Head(&net, h);
}

// Groups of 8 over joined branches of 6 and 10.
ZooGraph GroupsAfterConcat(bool convolution) {
  ZooNet net(convolution ? "grouped_after_concat" : "group_norm_after_concat");
  const std::string x = net.Input(kImage);
  std::string h = net.Concat({net.Conv(x, 4, 6), net.PRelu(net.Conv(x, 4, 10), 10)});
  if (convolution) {
    h = net.Conv(h, 16, 16, {.group = 2});
  } else {
    h = net.Op("GroupNormalization", {h, net.Uniform({16}, 0.5, 1.5), net.Bias(16)},
               {{"num_groups", Num(2)}});
  }
  return Head(&net, net.Relu(h));
}

// A threshold for each channel decides.
ZooGraph WhereThreshold() {
  ZooNet net("where_channel_threshold");
  const std::string h = net.Conv(net.Input(kImage), 4, 16);
  const std::string above = net.Op("Greater", {h, net.Uniform({16, 1, 1}, -0.5, 0.5)});
  return Head(&net, net.Op("Where", {above, h, net.Uniform({16, 1, 1}, -1, 1)}));
}

// Exporters store equal vectors once: layers that have nothing else in common share it.
ZooGraph SharedBias() {
  ZooNet net("shared_bias");
  const std::string bias = net.Bias(16);
  std::string h = net.Input(kImage);
  for (const std::int64_t in : {4, 16}) {
    h = net.Relu(net.Op("Conv", {h, net.Weight({16, in, 3, 3}, in * 9), bias},
                        {{"pads", Nums({1, 1, 1, 1})}}));
  }
  return Head(&net, h);
}

ZooGraph Signals() {
  ZooNet net("conv_1d");
  std::string h = net.Input({2, 4, 12});
  for (const auto& [in, out] : {std::pair{4, 16}, std::pair{16, 12}, std::pair{12, 8}}) {
    h = net.Op("Conv", {h, net.Weight({out, in, 3}, in * 3), net.Bias(out)},
               {{"pads", Nums({1, 1})}});
    h = net.Op("PRelu", {h, net.Uniform({out, 1}, -1, 1)});
  }
  return net.Done(h);
}

ZooGraph Volumes() {
  ZooNet net("conv_3d");
  std::string h = net.Input({1, 4, 3, 4, 4});
  for (const auto& [in, out] : {std::pair{4, 12}, std::pair{12, 16}, std::pair{16, 4}}) {
    h = net.Op("Conv", {h, net.Weight({out, in, 3, 3, 3}, in * 27), net.Bias(out)},
               {{"pads", Nums({1, 1, 1, 1, 1, 1})}});
    h = net.Op("Elu", {net.BatchNorm(h, out)});
  }
  return net.Done(h);
}

// Products by letters: scores and sums of attention with two heads of 8.
ZooGraph EinsumAttention() {
  ZooNet net("attention_einsum");
  const auto sum = [&](const char* letters, const std::string& a, const std::string& b) {
    return net.Op("Einsum", {a, b}, {{"equation", Attribute(std::string(letters))}});
  };
  const std::string x = net.Linear(net.Input({2, 6, 8}), 8, 16);
  const std::string q = net.Reshape(net.Linear(x, 16, 16), {2, 6, 2, 8});
  const std::string k = net.Reshape(net.Op("MatMul", {x, net.Weight({16, 16}, 16)}), {2, 6, 2, 8});
  const std::string v = net.Reshape(net.Linear(x, 16, 16), {2, 6, 2, 8});
  const std::string shares = net.Op(
      "Softmax", {net.Mul(sum("bqhd,bkhd->bhqk", q, k), net.Float(0.35F))}, {{"axis", Num(-1)}});
  const std::string h = net.Reshape(sum("bhqk,bkhd->bqhd", shares, v), {2, 6, 16});
  return net.Done(net.Linear(net.Gelu(net.Linear(h, 16, 16)), 16, 8));
}

}  // namespace

void AddCorners(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(),
              {PairsToRows(), AcrossChannels(), CumSumInResidual(), CumSumOfPart(), OutputOfPart(),
               ConcatWithInput(), BatchIntoChannels(), OldOpset(), UnusedBranch(), WeightNorm(),
               GroupsAfterConcat(true), GroupsAfterConcat(false), WhereThreshold(), SharedBias(),
               Signals(), Volumes(), EinsumAttention()});
}

}  // namespace espalier::testing
