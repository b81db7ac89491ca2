#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

constexpr std::int64_t kChannels = 16;
const Dims kImage = {2, 4, 6, 6};

std::string Stem(ZooNet* net) { return net->Conv(net->Input(kImage), 4, kChannels); }

ZooGraph Head(ZooNet* net, const std::string& h, bool moves = true, std::string reason = "") {
  return net->Done(net->Conv(net->Relu(h), kChannels, 8), moves, std::move(reason));
}

std::string Scale(ZooNet* net) { return net->Uniform({kChannels}, 0.5, 1.5); }

std::string PerChannel(ZooNet* net, double low, double high) {
  return net->Uniform({kChannels, 1, 1}, low, high);
}

// Without a bias: some normalizations would take it away.
std::string BareStem(ZooNet* net) {
  return net->Op("Conv", {net->Input(kImage), net->Weight({kChannels, 4, 3, 3}, 4 * 9)},
                 {{"pads", Nums({1, 1, 1, 1})}});
}

// Statistics over all devices in training are plain ones in the exported network.
ZooGraph SyncBatchNorm() {
  ZooNet net("apex_sync_batch_norm");
  return Head(&net, net.BatchNorm(BareStem(&net), kChannels));
}

// InstanceNorm with running statistics, written out by the exporter.
ZooGraph RunningInstanceNorm() {
  ZooNet net("apex_instance_norm");
  std::string h = net.Op("Sub", {Stem(&net), net.Uniform({1, kChannels, 1, 1}, -0.5, 0.5)});
  h = net.Op("Div", {h, net.Op("Sqrt", {net.Uniform({1, kChannels, 1, 1}, 0.3, 2)})});
  return Head(&net, net.Add(net.Mul(h, PerChannel(&net, 0.5, 1.5)), PerChannel(&net, -0.1, 0.5)));
}

ZooGraph InstanceNorm() {
  ZooNet net("instance_norm");
  return Head(&net,
              net.Op("InstanceNormalization", {BareStem(&net), Scale(&net), net.Bias(kChannels)}));
}

// As PyTorch's exporter writes it: the groups become the channels of InstanceNormalization.
ZooGraph GroupNormByReshape() {
  ZooNet net("apex_group_norm");
  std::string h = net.Reshape(Stem(&net), {0, 2, -1});
  h = net.Op("InstanceNormalization", {h, net.Uniform({2}, 0.5, 1.5), net.Bias(2)});
  h = net.Reshape(h, {2, kChannels, 6, 6});
  return Head(&net, net.Add(net.Mul(h, PerChannel(&net, 0.5, 1.5)), PerChannel(&net, -0.1, 0.5)));
}

ZooGraph GroupNormOp() {
  ZooNet net("group_norm_op");
  const std::string h = net.Op("GroupNormalization", {Stem(&net), Scale(&net), net.Bias(kChannels)},
                               {{"num_groups", Num(2)}});
  return Head(&net, h);
}

// (x - mean) / sqrt(mean of squares + epsilon), means over `axes`.
std::string Normalize(ZooNet* net, const std::string& x, const Dims& axes) {
  const std::string centred = net->Op("Sub", {x, net->Reduce("ReduceMean", x, axes)});
  const std::string squares = net->Op("Pow", {centred, net->Float(2)});
  const std::string variance =
      net->Add(net->Reduce("ReduceMean", squares, axes), net->Float(1e-5F));
  return net->Op("Div", {centred, net->Op("Sqrt", {variance})});
}

ZooGraph GroupNormByMeans() {
  ZooNet net("group_norm_by_means");
  std::string h = Normalize(&net, net.Reshape(Stem(&net), {2, 2, 8, 6, 6}), {2, 3, 4});
  h = net.Reshape(h, {2, kChannels, 6, 6});
  return Head(&net, net.Add(net.Mul(h, PerChannel(&net, 0.5, 1.5)), PerChannel(&net, -0.1, 0.5)));
}

ZooGraph LayerNormLast() {
  ZooNet net("layer_norm_last_axis");
  const std::string h = net.LayerNorm(net.Linear(net.Input({2, 5, 8}), 8, 16), 16);
  return net.Done(net.Linear(net.Gelu(h), 16, 8));
}

ZooGraph LayerNormByMeans() {
  ZooNet net("layer_norm_by_means");
  std::string h = Normalize(&net, net.Linear(net.Input({2, 5, 8}), 8, 16), {-1});
  h = net.Add(net.Mul(h, Scale(&net)), net.Bias(16));
  return net.Done(net.Linear(net.Relu(h), 16, 8));
}

// LayerNorm2d of ConvNeXt: over the channels of NCHW.
ZooGraph LayerNormChannelsFirst() {
  ZooNet net("layer_norm_channels_first");
  const std::string h = Normalize(&net, Stem(&net), {1});
  return Head(&net, net.Add(net.Mul(h, PerChannel(&net, 0.5, 1.5)), PerChannel(&net, -0.1, 0.5)));
}

// Over channels and pixels, with a scale for each of both.
ZooGraph LayerNormWhole() {
  ZooNet net("layer_norm_channels_and_pixels");
  const Dims dims = {kChannels, 6, 6};
  const std::string h = net.Op(
      "LayerNormalization", {Stem(&net), net.Uniform(dims, 0.5, 1.5), net.Uniform(dims, -0.1, 0.5)},
      {{"axis", Num(1)}});
  return Head(&net, h);
}

ZooGraph RmsNormGatedMlp() {
  ZooNet net("rms_norm_gated_mlp");
  std::string h = net.Linear(net.Input({2, 5, 8}), 8, 16);
  for (int i = 0; i < 2; ++i) {
    const std::string mean = net.Reduce("ReduceMean", net.Mul(h, h), {-1});
    const std::string root = net.Op("Sqrt", {net.Add(mean, net.Float(1e-5F))});
    const std::string normal = net.Mul(net.Op("Div", {h, root}), Scale(&net));
    const std::string gate = net.Silu(net.Linear(normal, 16, 24));
    h = net.Add(h, net.Linear(net.Mul(gate, net.Linear(normal, 16, 24)), 24, 16));
  }
  return net.Done(net.Linear(h, 16, 8));
}

ZooGraph PReluChannels() {
  ZooNet net("apex_prelu");
  const std::string h = net.PRelu(net.BatchNorm(Stem(&net), kChannels), kChannels);
  return net.Done(net.Conv(h, kChannels, 8));
}

// One slope for all channels is no channel's.
ZooGraph PReluShared() {
  ZooNet net("prelu_one_slope");
  const std::string h = net.Op("PRelu", {Stem(&net), net.Uniform({1}, 0.1, 0.3)});
  return net.Done(net.Conv(h, kChannels, 8));
}

std::string Lrn(ZooNet* net, const std::string& x) {
  return net->Op("LRN", {x}, {{"size", Num(3)}, {"alpha", Attribute(0.9F)}});
}

ZooGraph LocalResponse() {
  ZooNet net("apex_lrn");
  return Head(&net, Lrn(&net, Stem(&net)), false, "LRN");
}

// As in AlexNet: the layer behind the next convolution is free again.
ZooGraph LocalResponseThenFree() {
  ZooNet net("lrn_then_free");
  const std::string h = net.MaxPool(Lrn(&net, net.Relu(Stem(&net))), 3, 2);
  return Head(&net, net.Conv(h, kChannels, kChannels), true, "LRN");
}

ZooGraph LpNorm() {
  ZooNet net("lp_normalization_channels");
  const std::string h = net.Op("LpNormalization", {Stem(&net)}, {{"axis", Num(1)}});
  return net.Done(net.Conv(h, kChannels, 8));
}

ZooGraph MeanVariance() {
  ZooNet net("mean_variance_normalization");
  const std::string h =
      net.Op("MeanVarianceNormalization", {BareStem(&net)}, {{"axes", Nums({0, 2, 3})}});
  return Head(&net, h);
}

}  // namespace

void AddNormalizations(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(),
              {SyncBatchNorm(), RunningInstanceNorm(), InstanceNorm(), GroupNormByReshape(),
               GroupNormOp(), GroupNormByMeans(), LayerNormLast(), LayerNormByMeans(),
               LayerNormChannelsFirst(), LayerNormWhole(), RmsNormGatedMlp(), PReluChannels(),
               PReluShared(), LocalResponse(), LocalResponseThenFree(), LpNorm(), MeanVariance()});
}

}  // namespace espalier::testing
