#include "tests/permute/zoo_net.h"

// Operators along the channels: some treat them all alike, others tell them apart by position.
namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 6, 6};

std::string Stem(ZooNet* net) { return net->ConvBnRelu(net->Input(kImage), 4, 16); }

ZooGraph Head(ZooNet* net, const std::string& h, bool moves = true, std::string reason = "") {
  return net->Done(net->Conv(h, 16, 8), moves, std::move(reason));
}

ZooGraph CumulativeSum() {
  ZooNet net("apex_cumsum");
  const std::string h = net.Op("CumSum", {Stem(&net), net.Store(IntScalar(1))});
  return Head(&net, h, false, "CumSum");
}

ZooGraph CumulativeSumThenFree() {
  ZooNet net("cumsum_then_free");
  std::string h = net.Op("CumSum", {Stem(&net), net.Store(IntScalar(-3))});
  h = net.ConvBnRelu(net.BatchNorm(h, 16), 16, 16);
  return Head(&net, h, true, "CumSum");
}

// Along the rows of pixels it holds no channel.
ZooGraph CumulativeSumOfPixels() {
  ZooNet net("cumsum_pixels");
  return Head(&net, net.Op("CumSum", {Stem(&net), net.Store(IntScalar(2))}));
}

ZooGraph SoftmaxChannels(const char* op) {
  ZooNet net(std::string("channels_") + op);
  return Head(&net, net.Op(op, {Stem(&net)}, {{"axis", Num(1)}}));
}

// The winner's position is an output.
ZooGraph ArgMaxChannels() {
  ZooNet net("argmax_channels");
  const std::string h = Stem(&net);
  const std::string best = net.ToFloat(net.Op("ArgMax", {h}, {{"axis", Num(1)}}));
  return net.Done(net.Add(net.Conv(h, 16, 8), best), false, "ArgMax");
}

ZooGraph TopKChannels() {
  ZooNet net("top_k_channels");
  const std::string h = Stem(&net);
  const std::vector<std::string> top = net.Ops("TopK", {h, net.Ints({8})}, 2, {{"axis", Num(1)}});
  const std::string out = net.Add(net.Conv(h, 16, 8), net.Conv(top[0], 8, 8));
  return net.Done(net.Add(out, net.ToFloat(top[1])), false, "TopK");
}

ZooGraph ReduceChannels(const char* op) {
  ZooNet net(std::string("channels_") + op);
  const std::string h = Stem(&net);
  return Head(&net, net.Mul(h, net.Op("Sigmoid", {net.Reduce(op, h, {1})})));
}

ZooGraph ReducePixels() {
  ZooNet net("pixels_ReduceMean");
  const std::string h =
      net.Op("ReduceMean", {Stem(&net), net.Ints({2, 3})}, {{"keepdims", Num(0)}});
  return net.Done(net.Gemm(net.Relu(net.Gemm(h, 16, 12)), 12, 8));
}

// CBAM: a gate for each channel, then one for each pixel from the mean and the largest channel.
ZooGraph Cbam() {
  ZooNet net("cbam_attention");
  std::string h = Stem(&net);
  const std::string down = net.Weight({4, 16, 1, 1}, 16), up = net.Weight({16, 4, 1, 1}, 4);
  std::vector<std::string> gates;
  for (const char* const pool : {"GlobalAveragePool", "GlobalMaxPool"}) {
    gates.push_back(net.Op("Conv", {net.Silu(net.Op("Conv", {net.Op(pool, {h}), down})), up}));
  }
  h = net.Mul(h, net.Op("Sigmoid", {net.Add(gates[0], gates[1])}));
  const std::string both =
      net.Concat({net.Reduce("ReduceMean", h, {1}), net.Reduce("ReduceMax", h, {1})});
  h = net.Mul(h, net.Op("Sigmoid", {net.Conv(both, 2, 1)}));
  return Head(&net, h);
}

// ECA: a convolution along the channels.
ZooGraph Eca() {
  ZooNet net("eca_attention");
  const std::string h = Stem(&net);
  std::string s = net.Transpose(net.Op("Squeeze", {net.GlobalPool(h), net.Ints({-1})}), {0, 2, 1});
  s = net.Op("Conv", {s, net.Weight({1, 1, 3}, 3)}, {{"pads", Nums({1, 1})}});
  s = net.Op("Unsqueeze", {net.Transpose(net.Op("Sigmoid", {s}), {0, 2, 1}), net.Ints({-1})});
  return Head(&net, net.Mul(h, s), false, "Conv");
}

// The largest of three neighbouring channels.
ZooGraph PoolChannels() {
  ZooNet net("max_pool_channels");
  std::string h = net.Transpose(Stem(&net), {0, 2, 3, 1});
  h = net.Op("MaxPool", {h}, {{"kernel_shape", Nums({1, 3})}, {"pads", Nums({0, 1, 0, 1})}});
  return Head(&net, net.Transpose(h, {0, 3, 1, 2}), false, "MaxPool");
}

ZooGraph ResizeChannels() {
  ZooNet net("resize_channels");
  const std::string scales = net.Store(FloatVector({1, 2, 1, 1}));
  std::string h = net.Conv(net.Input(kImage), 4, 8);
  h = net.Op("Resize", {h, "", scales}, {{"mode", Attribute(std::string("linear"))}});
  return Head(&net, h, false, "Resize");
}

// Half of the channels and half of the rows change roles.
ZooGraph SwapChannelsAndRows() {
  ZooNet net("channels_become_rows");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 8);
  h = net.ConvBnRelu(net.Transpose(h, {0, 2, 1, 3}), 6, 8);
  return net.Done(net.Conv(h, 8, 8), true, "Conv");
}

}  // namespace

void AddPositions(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {CumulativeSum(), CumulativeSumThenFree(), CumulativeSumOfPixels(),
                           SoftmaxChannels("Softmax"), SoftmaxChannels("LogSoftmax"),
                           ArgMaxChannels(), TopKChannels(), ReduceChannels("ReduceMean"),
                           ReduceChannels("ReduceMax"), ReducePixels(), Cbam(), Eca(),
                           PoolChannels(), ResizeChannels(), SwapChannelsAndRows()});
}

}  // namespace espalier::testing
