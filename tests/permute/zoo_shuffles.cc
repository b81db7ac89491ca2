#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 6, 6};

std::string Shuffle(ZooNet* net, const std::string& x, std::int64_t channels, std::int64_t groups) {
  std::string h = net->Reshape(x, {2, groups, channels / groups, 6, 6});
  h = net->Transpose(h, {0, 2, 1, 3, 4});
  return net->Reshape(h, {2, channels, 6, 6});
}

ZooGraph ChannelShuffle() {
  ZooNet net("apex_channel_shuffle");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  h = net.ConvBnRelu(h, 16, 16, {.kernel = 1, .group = 2});
  h = Shuffle(&net, h, 16, 2);
  h = net.ConvBnRelu(h, 16, 16, {.group = 2});
  return net.Done(net.Conv(h, 16, 8));
}

ZooGraph ShuffleNetV1() {
  ZooNet net("shufflenet_v1_block");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 32);
  for (int i = 0; i < 2; ++i) {
    std::string b = net.ConvBnRelu(h, 32, 16, {.kernel = 1, .group = 2});
    b = net.BatchNorm(net.Conv(Shuffle(&net, b, 16, 2), 16, 16, {.group = 16}), 16);
    b = net.BatchNorm(net.Conv(b, 16, 32, {.kernel = 1, .group = 2}), 32);
    h = net.Relu(net.Add(h, b));
  }
  return net.Done(net.Conv(h, 32, 8));
}

// One half passes, the other goes through three layers; then both are shuffled.
ZooGraph ShuffleNetV2() {
  ZooNet net("shufflenet_v2_block");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  for (int i = 0; i < 2; ++i) {
    const std::vector<std::string> halves = net.Split(h, {8, 8});
    std::string b = net.ConvBnRelu(halves[1], 8, 12, {.kernel = 1});
    b = net.BatchNorm(net.Conv(b, 12, 12, {.group = 12}), 12);
    b = net.ConvBnRelu(b, 12, 8, {.kernel = 1});
    h = Shuffle(&net, net.Concat({halves[0], b}), 16, 2);
  }
  return net.Done(net.Conv(net.ConvBnRelu(h, 16, 16), 16, 8));
}

ZooGraph ShuffleByGather() {
  ZooNet net("channel_shuffle_gather");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16, {.kernel = 1});
  h = net.ConvBnRelu(h, 16, 16, {.kernel = 1, .group = 2});
  h = net.Op("Gather", {h, net.Ints({0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15})},
             {{"axis", Num(1)}});
  h = net.ConvBnRelu(h, 16, 16, {.group = 2});
  return net.Done(net.Conv(h, 16, 8));
}

ZooGraph PixelShuffle(const char* mode) {
  ZooNet net(fmt::format("depth_to_space_{}", mode));
  std::string h = net.ConvBnRelu(net.Input({2, 4, 4, 4}), 4, 16);
  h = net.Op("DepthToSpace", {net.Conv(h, 16, 32)},
             {{"blocksize", Num(2)}, {"mode", Attribute(std::string(mode))}});
  return net.Done(net.Conv(net.PRelu(h, 8), 8, 4));
}

ZooGraph PixelShuffleByReshape() {
  ZooNet net("pixel_shuffle_reshape");
  std::string h = net.ConvBnRelu(net.Input({2, 4, 4, 4}), 4, 16);
  h = net.Reshape(net.Conv(h, 16, 32), {2, 8, 2, 2, 4, 4});
  h = net.Reshape(net.Transpose(h, {0, 1, 4, 2, 5, 3}), {2, 8, 8, 8});
  return net.Done(net.Conv(net.PRelu(h, 8), 8, 4));
}

ZooGraph SpaceToDepth() {
  ZooNet net("space_to_depth");
  const std::string h =
      net.Op("SpaceToDepth", {net.ConvBnRelu(net.Input(kImage), 4, 8)}, {{"blocksize", Num(2)}});
  return net.Done(net.Conv(net.ConvBnRelu(h, 32, 12), 12, 8));
}

ZooGraph PixelUnshuffleByReshape() {
  ZooNet net("pixel_unshuffle_reshape");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 8);
  h = net.Transpose(net.Reshape(h, {2, 8, 3, 2, 3, 2}), {0, 1, 3, 5, 2, 4});
  h = net.ConvBnRelu(net.Reshape(h, {2, 32, 3, 3}), 32, 16);
  return net.Done(net.Conv(h, 16, 8));
}

// Every second pixel of every second row, four times: YOLOv5's first layer, on inner channels.
ZooGraph Focus() {
  ZooNet net("focus_slices");
  const std::string h = net.ConvBnRelu(net.Input(kImage), 4, 8);
  std::vector<std::string> parts;
  for (const Dims& start : {Dims{0, 0}, Dims{1, 0}, Dims{0, 1}, Dims{1, 1}}) {
    parts.push_back(net.Op(
        "Slice", {h, net.Ints(start), net.Ints({6, 6}), net.Ints({2, 3}), net.Ints({2, 2})}));
  }
  return net.Done(net.Conv(net.PRelu(net.Conv(net.Concat(parts), 32, 16), 16), 16, 8));
}

// Maxout: the larger of channel i and channel i + 8.
ZooGraph Maxout() {
  ZooNet net("maxout_reshape");
  std::string h = net.Reshape(net.Conv(net.Input(kImage), 4, 16), {2, 2, 8, 6, 6});
  h = net.Op("ReduceMax", {h, net.Ints({1})}, {{"keepdims", Num(0)}});
  return net.Done(net.Conv(net.ConvBnRelu(h, 8, 16), 16, 8));
}

}  // namespace

void AddShuffles(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {ChannelShuffle(), ShuffleNetV1(), ShuffleNetV2(), ShuffleByGather(),
                           PixelShuffle("DCR"), PixelShuffle("CRD"), PixelShuffleByReshape(),
                           SpaceToDepth(), PixelUnshuffleByReshape(), Focus(), Maxout()});
}

}  // namespace espalier::testing
