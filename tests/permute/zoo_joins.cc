#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 6, 6};

std::string Stem(ZooNet* net, std::int64_t channels = 16) {
  return net->ConvBnRelu(net->Input(kImage), 4, channels);
}

ZooGraph Head(ZooNet* net, const std::string& h, std::int64_t channels = 16) {
  return net->Done(net->Conv(h, channels, 8));
}

ZooGraph HeldHead(ZooNet* net, const std::string& h, std::string reason) {
  return net->Done(net->Conv(h, 16, 8), false, std::move(reason));
}

ZooGraph Branches(const char* name, const Dims& widths) {
  ZooNet net(name);
  const std::string h = Stem(&net);
  std::vector<std::string> parts;
  std::int64_t all = 0;
  for (const std::int64_t width : widths) {
    parts.push_back(net.ConvBnRelu(h, 16, width));
    all += width;
  }
  return Head(&net, net.Concat(parts), all);
}

// A branch that is joined and also read alone, and two joins in different orders.
ZooGraph ConcatBothOrders() {
  ZooNet net("concat_both_orders");
  const std::string h = Stem(&net);
  const std::string a = net.PRelu(net.Conv(h, 16, 6), 6), b = net.ConvBnRelu(h, 16, 10);
  const std::string ab = net.Conv(net.Concat({a, b}), 16, 8),
                    ba = net.Conv(net.Concat({b, a}), 16, 8);
  return net.Done(net.Op("Sum", {ab, ba, net.Conv(b, 10, 8, {.kernel = 1})}));
}

ZooGraph ConcatWithItself() {
  ZooNet net("concat_with_itself");
  const std::string h = net.Conv(net.Input(kImage), 4, 8);
  return Head(&net, net.Concat({h, net.PRelu(h, 8)}));
}

// Halves side by side along the rows: the channels of both are tied.
ZooGraph ConcatRows() {
  ZooNet net("concat_rows");
  const std::string x = net.Input(kImage);
  const std::string h =
      net.Concat({net.ConvBnRelu(x, 4, 16), net.PRelu(net.Conv(x, 4, 16), 16)}, 2);
  return Head(&net, h);
}

// Normalization before each convolution; every layer reads all that came before.
ZooGraph DenseNet(const char* name, std::int64_t growth) {
  ZooNet net(name);
  std::int64_t channels = 8;
  std::string h = net.Conv(net.Input(kImage), 4, channels);
  for (int i = 0; i < 3; ++i) {
    std::string b = net.Relu(net.BatchNorm(h, channels));
    b = net.ConvBnRelu(b, channels, 8, {.kernel = 1});
    h = net.Concat({h, net.Conv(b, 8, growth)});
    channels += growth;
  }
  h = net.Relu(net.BatchNorm(h, channels));
  return Head(&net, net.Conv(h, channels, 16, {.kernel = 1}));
}

ZooGraph SplitAndJoin(bool swapped) {
  ZooNet net(swapped ? "split_and_join_swapped" : "split_and_join");
  const std::vector<std::string> parts = net.Split(net.Conv(net.Input(kImage), 4, 16), {6, 10});
  const std::string a = net.Op("Tanh", {parts[0]}), b = net.PRelu(parts[1], 10);
  return Head(&net, swapped ? net.Concat({b, a}) : net.Concat({a, b}));
}

// a * sigmoid(b): channel i of one half belongs to channel i of the other.
ZooGraph GatedHalves() {
  ZooNet net("gated_halves");
  const std::vector<std::string> parts = net.Split(net.Conv(Stem(&net), 16, 16), {8, 8});
  return Head(&net, net.Mul(parts[0], net.Op("Sigmoid", {parts[1]})), 8);
}

// Partial convolution: the first quarter goes through a layer, the rest around it.
ZooGraph PartialConv() {
  ZooNet net("partial_conv");
  const std::string h = Stem(&net);
  const std::string part = net.Conv(net.Slice(h, 0, 4), 4, 4);
  const std::string rest = net.Slice(h, 4, 16);
  return Head(&net, net.Add(h, net.Concat({part, rest})));
}

ZooGraph SliceChannels() {
  ZooNet net("slice_channels");
  const std::string h = Stem(&net);
  const std::string part = net.Conv(net.Slice(h, 4, 12), 8, 8);
  return net.Done(net.Add(net.Conv(h, 16, 8), part));
}

// Overlapping parts: three kinds of channels, of 4, 8 and 4.
ZooGraph SliceOverlap() {
  ZooNet net("slice_channels_overlap");
  const std::string h = Stem(&net);
  return net.Done(
      net.Add(net.Conv(net.Slice(h, 0, 12), 12, 8), net.Conv(net.Slice(h, 4, 16), 12, 8)));
}

// Every second channel, and all of them backwards.
ZooGraph SliceSteps() {
  ZooNet net("slice_channels_steps");
  const std::string h = Stem(&net);
  const std::string even =
      net.Op("Slice", {h, net.Ints({0}), net.Ints({16}), net.Ints({1}), net.Ints({2})});
  const std::string back =
      net.Op("Slice", {h, net.Ints({-1}), net.Ints({-100}), net.Ints({1}), net.Ints({-1})});
  return net.Done(net.Add(net.Conv(even, 8, 8), net.Conv(back, 16, 8)));
}

ZooGraph GatherChannels(const char* name, const Dims& order) {
  ZooNet net(name);
  const std::string h = net.Op("Gather", {Stem(&net), net.Ints(order)}, {{"axis", Num(1)}});
  return Head(&net, h, static_cast<std::int64_t>(order.size()));
}

// A vector of channels is spread over the pixels, then joined, as in image-level features.
ZooGraph ExpandPixels() {
  ZooNet net("expand_pixels");
  const std::string h = Stem(&net);
  const std::string all = net.Relu(net.Conv(net.GlobalPool(h), 16, 8, {.kernel = 1}));
  const std::string wide = net.Op("Expand", {all, net.Ints({2, 8, 6, 6})});
  return Head(&net, net.Concat({h, wide}), 24);
}

ZooGraph TilePixels() {
  ZooNet net("tile_pixels");
  return Head(&net, net.Op("Tile", {Stem(&net), net.Ints({1, 1, 2, 1})}));
}

ZooGraph TileChannels() {
  ZooNet net("tile_channels");
  return HeldHead(&net, net.Op("Tile", {Stem(&net, 8), net.Ints({1, 2, 1, 1})}), "Tile");
}

ZooGraph WhereMask() {
  ZooNet net("where_channel_mask");
  const std::vector<std::uint8_t> mask = {1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0};
  const std::string keep = net.Store(TensorOf(DType::kBool, {1, 16, 1, 1}, mask));
  const std::string h = Stem(&net);
  return Head(&net, net.Op("Where", {keep, h, net.Mul(h, net.Uniform({16, 1, 1}, -2, -1))}));
}

// Constants for each channel, for each pixel, for both, and for all.
ZooGraph Constants() {
  ZooNet net("channel_and_pixel_constants");
  std::string h = net.Mul(Stem(&net), net.Uniform({1, 16, 1, 1}, -1, 1));
  h = net.Add(h, net.Uniform({6, 6}, -1, 1));
  h = net.Op("Sub", {net.Uniform({16, 6, 6}, -1, 1), h});
  h = net.Op("Max", {h, net.Uniform({16, 1, 1}, -1, 0), net.Float(-0.7F)});
  return Head(&net, net.Op("Div", {h, net.Float(0.6F)}));
}

ZooGraph MulConstant() {
  ZooNet net("mul_channel_constant");
  return Head(&net, net.Mul(net.Uniform({16, 1, 1}, -1, 1), Stem(&net)));
}

// [n, c, 1, 1] times [n, 1, h, w].
ZooGraph OuterProduct() {
  ZooNet net("outer_product");
  const std::string x = net.Input(kImage);
  const std::string vector =
      net.Conv(net.GlobalPool(net.ConvBnRelu(x, 4, 8)), 8, 16, {.kernel = 1});
  return Head(&net, net.Mul(vector, net.Conv(x, 4, 1)));
}

ZooGraph PadPixels() {
  ZooNet net("pad_pixels");
  std::string h = net.Op("Pad", {Stem(&net), net.Ints({0, 0, 1, 2, 0, 0, 1, 0}), net.Float(0.5F)});
  h = net.Op("Pad", {h, net.Ints({0, 0, 1, 1, 0, 0, 1, 1})},
             {{"mode", Attribute(std::string("reflect"))}});
  return Head(&net, h);
}

// The shortcut without weights of ResNet on CIFAR: half of the pixels, zeros for new channels.
ZooGraph PadChannels() {
  ZooNet net("pad_channels");
  const std::string h = Stem(&net, 8);
  const std::string skip =
      net.Op("Pad", {net.MaxPool(h, 1, 2), net.Ints({0, 2, 0, 0, 0, 6, 0, 0})});
  const std::string b = net.Conv(net.ConvBnRelu(h, 8, 16, {.stride = 2}), 16, 16);
  return Head(&net, net.Relu(net.Add(b, skip)));
}

ZooGraph Pooling() {
  ZooNet net("pooling_and_resize");
  std::string h = net.MaxPool(Stem(&net), 3, 2);
  h = net.Op("Resize", {h, "", net.Store(FloatVector({1, 1, 2, 2}))},
             {{"mode", Attribute(std::string("linear"))}});
  h = net.Op("AveragePool", {h}, {{"kernel_shape", Nums({2, 2})}, {"strides", Nums({1, 1})}});
  const std::string sizes = net.Ints({2, 16, 6, 6});
  h = net.Op("Resize", {net.Conv(h, 16, 16), "", "", sizes},
             {{"mode", Attribute(std::string("cubic"))}});
  return Head(&net, net.Op("LpPool", {h}, {{"kernel_shape", Nums({2, 2})}}));
}

}  // namespace

void AddJoins(std::vector<ZooGraph>* zoo) {
  zoo->insert(
      zoo->end(),
      {Branches("concat_2", {8, 8}),
       Branches("concat_3_unaligned", {6, 5, 5}),
       ConcatBothOrders(),
       ConcatWithItself(),
       ConcatRows(),
       DenseNet("densenet_aligned", 4),
       DenseNet("densenet_unaligned", 6),
       SplitAndJoin(false),
       SplitAndJoin(true),
       GatedHalves(),
       PartialConv(),
       SliceChannels(),
       SliceOverlap(),
       SliceSteps(),
       GatherChannels("gather_channels", {3, 0, 7, 12, 1, 15, 9, 4, 2, 14, 5, 6, 8, 10, 11, 13}),
       GatherChannels("gather_channels_again", {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 9}),
       ExpandPixels(),
       TilePixels(),
       TileChannels(),
       WhereMask(),
       Constants(),
       MulConstant(),
       OuterProduct(),
       PadPixels(),
       PadChannels(),
       Pooling()});
}

}  // namespace espalier::testing
