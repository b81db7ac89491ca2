#include <cmath>

#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

constexpr std::int64_t kBatch = 2, kTokens = 6, kWidth = 16;

struct Heads {
  std::int64_t count = 2;
  std::int64_t keys = 2;  ///< Heads of k and v.
  std::int64_t batch = kBatch;
  std::int64_t tokens = kTokens;
  std::int64_t Size() const { return kWidth / count; }
};

// [batch, tokens, heads * size] -> [batch, heads, tokens, size], or with the last two exchanged.
std::string View(ZooNet* net, const std::string& x, const Heads& heads, std::int64_t count,
                 bool exchanged = false) {
  const std::string view = net->Reshape(x, {heads.batch, heads.tokens, count, heads.Size()});
  return net->Transpose(view, exchanged ? Dims{0, 2, 3, 1} : Dims{0, 2, 1, 3});
}

// q and v [batch, heads, tokens, size], k [batch, heads, size, tokens] -> [batch, tokens, width].
std::string Attend(ZooNet* net, const Heads& heads, const std::string& q, const std::string& k,
                   const std::string& v) {
  const float scale = 1 / std::sqrt(static_cast<float>(heads.Size()));
  const std::string scores = net->Mul(net->Op("MatMul", {q, k}), net->Float(scale));
  const std::string shares = net->Op("Softmax", {scores}, {{"axis", Num(-1)}});
  const std::string mixed = net->Transpose(net->Op("MatMul", {shares, v}), {0, 2, 1, 3});
  return net->Reshape(mixed, {heads.batch, heads.tokens, kWidth});
}

// Without a bias: it would add the same to all scores of a query, and Softmax takes that away.
std::string Keys(ZooNet* net, const std::string& x, std::int64_t width) {
  return net->Op("MatMul", {x, net->Weight({kWidth, width}, kWidth)});
}

// Multi-head attention of x to `other`, without the layer behind it.
std::string Attention(ZooNet* net, const std::string& x, const std::string& other,
                      const Heads& heads = {}) {
  const std::int64_t narrow = heads.keys * heads.Size();
  const std::string q = View(net, net->Linear(x, kWidth, kWidth), heads, heads.count);
  const std::string k = View(net, Keys(net, other, narrow), heads, heads.keys, true);
  const std::string v = View(net, net->Linear(other, kWidth, narrow), heads, heads.keys);
  return Attend(net, heads, q, k, v);
}

std::string Embedded(ZooNet* net, const std::string& name = "x") {
  return net->Linear(net->Input({kBatch, kTokens, 8}, name), 8, kWidth);
}

ZooGraph Head(ZooNet* net, const std::string& h) { return net->Done(net->Linear(h, kWidth, 8)); }

ZooGraph Written(const char* name, const Heads& heads) {
  ZooNet net(name);
  const std::string x = Embedded(&net);
  const std::string h = net.Linear(Attention(&net, x, x, heads), kWidth, kWidth);
  return Head(&net, net.Relu(h));
}

ZooGraph CrossAttention() {
  ZooNet net("attention_cross");
  const std::string x = Embedded(&net), other = Embedded(&net, "other");
  const std::string h = net.Linear(Attention(&net, x, other), kWidth, kWidth);
  return Head(&net, net.Add(x, h));
}

// One weight for q, k and v, cut by Split along the channels.
std::string PackedBySplit(ZooNet* net, const std::string& x, const Heads& heads) {
  const std::vector<std::string> parts =
      net->Split(net->Linear(x, kWidth, 3 * kWidth), {kWidth, kWidth, kWidth}, -1);
  return Attend(net, heads, View(net, parts[0], heads, heads.count),
                View(net, parts[1], heads, heads.count, true),
                View(net, parts[2], heads, heads.count));
}

// The same as timm writes it: [3, batch, heads, tokens, size], cut by Gather.
std::string PackedByGather(ZooNet* net, const std::string& x, const Heads& heads) {
  std::string all = net->Linear(x, kWidth, 3 * kWidth);
  all = net->Reshape(all, {heads.batch, heads.tokens, 3, heads.count, heads.Size()});
  all = net->Transpose(all, {2, 0, 3, 1, 4});
  std::vector<std::string> parts;
  for (std::int64_t i = 0; i < 3; ++i) {
    parts.push_back(net->Op("Gather", {all, net->Store(IntScalar(i))}, {{"axis", Num(0)}}));
  }
  return Attend(net, heads, parts[0], net->Transpose(parts[1], {0, 1, 3, 2}), parts[2]);
}

ZooGraph Packed(bool gather) {
  ZooNet net(gather ? "attention_packed_gather" : "attention_packed_split");
  const std::string x = Embedded(&net);
  const std::string h = gather ? PackedByGather(&net, x, {}) : PackedBySplit(&net, x, {});
  return Head(&net, net.Relu(net.Linear(h, kWidth, kWidth)));
}

// Norm, attention, sum; norm, two layers, sum.
std::string Block(ZooNet* net, const std::string& x, const Heads& heads) {
  const std::string mixed = PackedBySplit(net, net->LayerNorm(x, kWidth), heads);
  const std::string h = net->Add(x, net->Linear(mixed, kWidth, kWidth));
  const std::string wide = net->Gelu(net->Linear(net->LayerNorm(h, kWidth), kWidth, 2 * kWidth));
  return net->Add(h, net->Linear(wide, 2 * kWidth, kWidth));
}

ZooGraph TransformerBlock() {
  ZooNet net("transformer_block");
  return Head(&net, net.LayerNorm(Block(&net, Embedded(&net), {}), kWidth));
}

// Patches by a convolution, a class token, positions, two blocks, a head on the class token.
ZooGraph VisionTransformer() {
  ZooNet net("vision_transformer");
  std::string h = net.Op(
      "Conv", {net.Input({kBatch, 4, 8, 8}), net.Weight({kWidth, 4, 4, 4}, 64), net.Bias(kWidth)},
      {{"strides", Nums({4, 4})}});
  h = net.Transpose(net.Reshape(h, {0, kWidth, -1}), {0, 2, 1});
  const std::string token =
      net.Op("Expand", {net.Uniform({1, 1, kWidth}, -1, 1), net.Ints({kBatch, 1, 1})});
  h = net.Add(net.Concat({token, h}), net.Uniform({1, 5, kWidth}, -1, 1));
  for (int i = 0; i < 2; ++i) h = Block(&net, h, {.count = 2, .keys = 2, .tokens = 5});
  h = net.Op("Gather", {net.LayerNorm(h, kWidth), net.Store(IntScalar(0))}, {{"axis", Num(1)}});
  return net.Done(net.Gemm(h, kWidth, 8));
}

// k and v heads are repeated for the heads of q: [2, 2, 1, ...] -> [2, 2, 2, ...] -> [2, 4, ...].
ZooGraph GroupedQuery() {
  ZooNet net("attention_grouped_query");
  const Heads heads = {.count = 4, .keys = 2};
  const std::int64_t size = heads.Size(), narrow = heads.keys * size;
  const std::string x = Embedded(&net);
  const auto repeat = [&](const std::string& value, const Dims& inner) {
    const std::string one = net.Op("Unsqueeze", {value, net.Ints({2})});
    const std::string many = net.Op("Expand", {one, net.Ints({kBatch, 2, 2, inner[0], inner[1]})});
    return net.Reshape(many, {kBatch, 4, inner[0], inner[1]});
  };
  const std::string q = View(&net, net.Linear(x, kWidth, kWidth), heads, heads.count);
  const std::string k = View(&net, Keys(&net, x, narrow), heads, heads.keys, true);
  const std::string v = View(&net, net.Linear(x, kWidth, narrow), heads, heads.keys);
  const std::string h =
      Attend(&net, heads, q, repeat(k, {size, kTokens}), repeat(v, {kTokens, size}));
  return Head(&net, net.Linear(h, kWidth, kWidth));
}

// Rotary positions: channel i of a head turns with channel i + size / 2.
ZooGraph Rotary() {
  ZooNet net("attention_rotary");
  const Heads heads;
  const std::int64_t size = heads.Size();
  const std::string x = Embedded(&net);
  const std::string cosines = net.Uniform({kTokens, size}, -1, 1);
  const std::string sines = net.Uniform({kTokens, size}, -1, 1);
  const auto turn = [&](const std::string& value) {
    const std::string low = net.Slice(value, 0, size / 2, 3);
    const std::string high = net.Op("Neg", {net.Slice(value, size / 2, size, 3)});
    return net.Add(net.Mul(value, cosines), net.Mul(net.Concat({high, low}, 3), sines));
  };
  const std::string q = turn(View(&net, net.Linear(x, kWidth, kWidth), heads, heads.count));
  const std::string k = turn(View(&net, net.Linear(x, kWidth, kWidth), heads, heads.count));
  const std::string v = View(&net, net.Linear(x, kWidth, kWidth), heads, heads.count);
  const std::string h = Attend(&net, heads, q, net.Transpose(k, {0, 1, 3, 2}), v);
  return Head(&net, net.Linear(h, kWidth, kWidth));
}

// Swin: an image of 4x4 tokens in four windows of 2x2, attention inside each.
ZooGraph Windows() {
  ZooNet net("attention_windows");
  const std::string x = net.Conv(net.Input({kBatch, 4, 4, 4}), 4, kWidth);
  const std::string image = net.Transpose(x, {0, 2, 3, 1});
  std::string h = net.Reshape(net.LayerNorm(image, kWidth), {kBatch, 2, 2, 2, 2, kWidth});
  h = net.Reshape(net.Transpose(h, {0, 1, 3, 2, 4, 5}), {4 * kBatch, 4, kWidth});
  h = net.Linear(PackedBySplit(&net, h, {.batch = 4 * kBatch, .tokens = 4}), kWidth, kWidth);
  h = net.Transpose(net.Reshape(h, {kBatch, 2, 2, 2, 2, kWidth}), {0, 1, 3, 2, 4, 5});
  h = net.Add(image, net.Reshape(h, {kBatch, 4, 4, kWidth}));
  return Head(&net, net.Gelu(net.Linear(h, kWidth, kWidth)));
}

// Attention between channels instead of pixels: x softmax(x^T x).
ZooGraph ChannelAttention() {
  ZooNet net("attention_between_channels");
  const std::string h = net.ConvBnRelu(net.Input({kBatch, 4, 4, 4}), 4, kWidth);
  const std::string rows = net.Reshape(h, {kBatch, kWidth, 16});
  const std::string scores = net.Op("MatMul", {rows, net.Transpose(rows, {0, 2, 1})});
  const std::string shares =
      net.Op("Softmax", {net.Mul(scores, net.Float(0.1F))}, {{"axis", Num(-1)}});
  const std::string mixed = net.Reshape(net.Op("MatMul", {shares, rows}), {kBatch, kWidth, 4, 4});
  return net.Done(net.Conv(net.Add(h, mixed), kWidth, 8));
}

}  // namespace

void AddAttention(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(),
              {Written("apex_attention", {}), Written("attention_4_heads", {.count = 4, .keys = 4}),
               Written("attention_multi_query", {.count = 2, .keys = 1}), CrossAttention(),
               Packed(false), Packed(true), TransformerBlock(), VisionTransformer(), GroupedQuery(),
               Rotary(), Windows(), ChannelAttention()});
}

}  // namespace espalier::testing
