#include <algorithm>
#include <iterator>

#include "graph/coupling_rules.h"

namespace espalier::coupling {
namespace {

// Labels of layers.
constexpr int kBatch = 0;
constexpr int kIn = 1;
constexpr int kOut = 2;

// Where an operator has what; 0: it does not have it (input 0 is the data).
struct ConvInputs {
  std::size_t weight;
  std::size_t bias;
  std::vector<std::size_t> per_output;  // scales and zero points of the weights
  bool transposed = false;
};

Labels Spatial(std::size_t rank, int first, int second) {
  Labels labels(rank, kApart);
  labels[0] = first;
  labels[1] = second;
  return labels;
}

std::vector<std::size_t> VectorsOf(const NodeTies& ties, const ConvInputs& inputs) {
  std::vector<std::size_t> found;
  if (inputs.bias != 0 && ties.view().HasInput(inputs.bias)) found.push_back(inputs.bias);
  for (const std::size_t i : inputs.per_output) {
    const Dims* dims = ties.In(i);
    const bool single =
        dims != nullptr && std::ranges::all_of(*dims, [](auto d) { return d == 1; });
    if (ties.view().HasInput(i) && !single) found.push_back(i);
  }
  return found;
}

void DenseConv(NodeTies& ties, const ConvInputs& inputs) {
  const std::size_t rank = ties.In(0)->size();
  Product product{{{0, Spatial(rank, kBatch, kIn)}}, Spatial(rank, kBatch, kOut), 0, true};
  product.inputs.push_back(
      {inputs.weight, inputs.transposed ? Spatial(rank, kIn, kOut) : Spatial(rank, kOut, kIn)});
  for (const std::size_t i : VectorsOf(ties, inputs)) product.inputs.push_back({i, {kOut}});
  ties.Join(product);
}

// position -> position / size.
std::vector<std::uint32_t> Blocks(std::int64_t count, std::int64_t size) {
  std::vector<std::uint32_t> blocks;
  for (std::int64_t i = 0; i < count; ++i) blocks.push_back(static_cast<std::uint32_t>(i / size));
  return blocks;
}

struct GroupedConv {
  std::int64_t groups, in, out;  // channels of all groups
  NodeTies::Side input;
  int output = kNoFacet;
};

// Each channel has filters of its own.
void TieDepthwise(NodeTies& ties, const ConvInputs& inputs, const GroupedConv& conv) {
  std::vector<Pair> pairs;
  const std::vector<std::uint32_t> from = Blocks(conv.out, conv.out / conv.in);
  for (std::uint32_t o = 0; o < from.size(); ++o) pairs.push_back({from[o], o});
  ties.Tie(conv.input, conv.output, std::move(pairs));
  const NodeTies::Side rows = ties.Take(inputs.weight, 0);
  if (inputs.transposed) {
    if (conv.input.facet != kNoFacet) return ties.TieAll(rows, conv.input.facet);
    return ties.TieAll(conv.input, rows.facet);
  }
  ties.TieAll(rows, conv.output);
}

// The weight's axis 1 is shared by all groups: place i stands for channel i of each group. So the
// channels inside the groups are those of axes 0 and 1 together.
void TieGroups(NodeTies& ties, const ConvInputs& inputs, const GroupedConv& conv) {
  const int owner = ties.MakeOwner(static_cast<std::size_t>(conv.groups));
  const std::int64_t in_size = conv.in / conv.groups;
  const std::int64_t out_size = conv.out / conv.groups;
  if (conv.input.facet != kNoFacet) ties.Own(owner, conv.input.facet, Blocks(conv.in, in_size));
  if (conv.output != kNoFacet) ties.Own(owner, conv.output, Blocks(conv.out, out_size));
  const NodeTies::Side output{conv.output, ties.fallback()};
  // Rows of a transposed convolution are input channels.
  const NodeTies::Side& by_row = inputs.transposed ? conv.input : output;
  const NodeTies::Side& by_place = inputs.transposed ? output : conv.input;
  const std::int64_t row_group = inputs.transposed ? in_size : out_size;
  const std::int64_t places = inputs.transposed ? out_size : in_size;
  const NodeTies::Side rows = ties.Take(inputs.weight, 0);
  if (inputs.transposed) ties.Summed(rows.facet);
  by_row.facet != kNoFacet ? ties.TieAll(rows, by_row.facet) : ties.TieAll(by_row, rows.facet);
  if (places < 2) return;  // one channel a group: owned, so it stays
  const int whole = ties.TakeWhole(inputs.weight, {0, 1});
  if (whole == kNoFacet) {  // weights that are computed or read elsewhere
    if (by_place.facet != kNoFacet) ties.TieAll({kNoFacet, ties.fallback()}, by_place.facet);
    return;
  }
  std::vector<Pair> pairs;
  const std::int64_t row_count = inputs.transposed ? conv.in : conv.out;
  for (std::int64_t i = 0; i < row_count * places; ++i) {
    const std::int64_t place = i / places / row_group * places + i % places;
    pairs.push_back({static_cast<std::uint32_t>(place), static_cast<std::uint32_t>(i)});
  }
  ties.Tie(by_place, whole, std::move(pairs));
  if (!inputs.transposed) ties.Summed(whole);
}

void SplitConv(NodeTies& ties, const ConvInputs& inputs, std::int64_t groups) {
  const Dims& in = *ties.In(0);
  const Dims* weight = ties.In(inputs.weight);
  const Dims* out = ties.Out(0);
  if (weight == nullptr || out == nullptr || out->size() != in.size()) return;
  GroupedConv conv{
      groups, in[1], inputs.transposed ? shapes::MulDims((*weight)[1], groups) : (*weight)[0], {}};
  const std::int64_t rows = inputs.transposed ? conv.in : conv.out;
  const std::int64_t places = (inputs.transposed ? conv.out : conv.in) / groups;
  if (conv.in < 1 || conv.in % groups != 0 || conv.out < 1 || conv.out % groups != 0 ||
      (*out)[1] != conv.out || (*weight)[0] != rows || (*weight)[1] != places) {
    return;
  }
  ties.Join({{{0, Spatial(in.size(), kBatch, kApart)}}, Spatial(in.size(), kBatch, kApart), 0});
  conv.input = ties.Take(0, 1);
  conv.output = ties.Make(0, {1});
  for (const std::size_t i : VectorsOf(ties, inputs)) {
    const Dims* dims = ties.In(i);
    if (dims == nullptr || dims->size() != 1) return ties.Spoil();
    ties.TieAll(ties.Take(i, 0), conv.output);
  }
  conv.in == groups ? TieDepthwise(ties, inputs, conv) : TieGroups(ties, inputs, conv);
}

void ConvOf(NodeTies& ties, const ConvInputs& inputs) {
  const Dims* in = ties.In(0);
  const Dims* weight = ties.In(inputs.weight);
  const auto groups = ties.view().Int("group", 1);
  if (in == nullptr || in->size() < 3 || !groups || *groups < 1) return;
  if (weight == nullptr || weight->size() != in->size()) return;
  if (ties.view().Int("channels_last", 0) != 0) return;
  *groups == 1 ? DenseConv(ties, inputs) : SplitConv(ties, inputs, *groups);
}

void Conv(NodeTies& ties) { ConvOf(ties, {1, 2, {}}); }
void ConvTranspose(NodeTies& ties) { ConvOf(ties, {1, 2, {}, true}); }
void ConvInteger(NodeTies& ties) { ConvOf(ties, {1, 0, {3}}); }
void QLinearConv(NodeTies& ties) { ConvOf(ties, {3, 8, {4, 5}}); }

// A product of matrices; `scales` hold one number, one a row of the left or column of the right.
struct ProductInputs {
  std::size_t left = 0;
  std::size_t right = 1;
  std::vector<std::size_t> left_scales, right_scales;
  bool transposes_left = false;
  bool transposes_right = false;
};

void MatMulOf(NodeTies& ties, const ProductInputs& inputs) {
  const Dims* a = ties.In(inputs.left);
  const Dims* b = ties.In(inputs.right);
  const Dims* out = ties.Out(0);
  if (a == nullptr || b == nullptr || out == nullptr || a->empty() || b->empty()) return;
  constexpr int kRow = 1000, kColumn = 1001, kInner = 1002;
  const std::size_t batch_a = a->size() < 2 ? 0 : a->size() - 2;
  const std::size_t batch_b = b->size() < 2 ? 0 : b->size() - 2;
  const std::size_t batch = std::max(batch_a, batch_b);
  Labels left = Aligned(batch_a, batch);
  Labels right = Aligned(batch_b, batch);
  Labels kept = Counted(batch);
  if (a->size() > 1) left.push_back(kRow);
  left.push_back(kInner);
  right.push_back(kInner);
  if (b->size() > 1) right.push_back(kColumn);
  if (inputs.transposes_left) std::swap(left[left.size() - 1], left[left.size() - 2]);
  if (inputs.transposes_right) std::swap(right[right.size() - 1], right[right.size() - 2]);
  if (a->size() > 1) kept.push_back(kRow);
  if (b->size() > 1) kept.push_back(kColumn);
  Product product{{{inputs.left, left}, {inputs.right, right}}, kept, 0, true};
  const auto add = [&](const std::vector<std::size_t>& scales, int label, bool fits) {
    for (const std::size_t i : scales) {
      const Dims* dims = ties.In(i);
      if (fits && dims != nullptr && dims->size() == 1 && dims->front() != 1) {
        product.inputs.push_back({i, {label}});
      }
    }
  };
  add(inputs.left_scales, kRow, a->size() > 1);
  add(inputs.right_scales, kColumn, b->size() > 1);
  ties.Join(product);
}

// Letters are labels; a letter twice in one term (a diagonal) is refused by Join().
std::optional<Product> ReadEquation(const std::string& equation, std::size_t inputs) {
  std::string text;
  std::ranges::copy_if(equation, std::back_inserter(text), [](char c) { return c != ' '; });
  const std::size_t arrow = text.find("->");
  if (arrow == std::string::npos || text.find('.') != std::string::npos) return std::nullopt;
  Product product{{}, {}, 0, inputs > 1};
  for (const char c : text.substr(arrow + 2)) product.kept.push_back(c);
  product.inputs.push_back({0, {}});
  for (const char c : text.substr(0, arrow)) {
    if (c == ',') {
      product.inputs.push_back({product.inputs.size(), {}});
    } else {
      product.inputs.back().labels.push_back(c);
    }
  }
  if (product.inputs.size() != inputs) return std::nullopt;
  return product;
}

void Einsum(NodeTies& ties) {
  const auto equation = ties.view().Text("equation", "");
  const auto product = equation ? ReadEquation(*equation, ties.view().InputCount()) : std::nullopt;
  // An output's letter comes once, and from an input.
  if (!product) return;
  for (const int label : product->kept) {
    const bool known = std::ranges::any_of(product->inputs, [label](const Operand& operand) {
      return std::ranges::count(operand.labels, label) > 0;
    });
    if (!known || std::ranges::count(product->kept, label) != 1) return;
  }
  ties.Join(*product);
}

void FusedMatMul(NodeTies& ties) {
  const Dims* a = ties.In(0);
  const Dims* b = ties.In(1);
  if (a == nullptr || b == nullptr) return;
  const auto plain = [&ties](const char* name) { return ties.view().Int(name, 0) == 0; };
  if (!plain("transBatchA") || !plain("transBatchB")) return;
  if (!plain("transA") && a->size() < 2) return;
  if (!plain("transB") && b->size() < 2) return;
  MatMulOf(ties, {0, 1, {}, {}, !plain("transA"), !plain("transB")});
}

void MatMul(NodeTies& ties) { MatMulOf(ties, {}); }
void MatMulInteger(NodeTies& ties) { MatMulOf(ties, {0, 1, {2}, {3}}); }
void QLinearMatMul(NodeTies& ties) { MatMulOf(ties, {0, 3, {1, 2}, {4, 5}}); }

void Gemm(NodeTies& ties) {
  const Dims* a = ties.In(0);
  const Dims* b = ties.In(1);
  const Dims* out = ties.Out(0);
  const auto transpose_a = ties.view().Int("transA", 0);
  const auto transpose_b = ties.view().Int("transB", 0);
  if (a == nullptr || b == nullptr || out == nullptr || !transpose_a || !transpose_b) return;
  // The bias broadcasts to [rows 0, columns 1].
  Labels left = {0, 2};
  Labels right = {2, 1};
  if (*transpose_a != 0) std::swap(left[0], left[1]);
  if (*transpose_b != 0) std::swap(right[0], right[1]);
  Product product{{{0, left}, {1, right}}, {0, 1}, 0, true};
  if (ties.view().HasInput(2)) {
    const Dims* bias = ties.In(2);
    product.inputs.push_back({2, bias == nullptr ? Labels{0, 0} : Aligned(bias->size(), 2)});
  }
  ties.Join(product);
}

// X [steps, batch, in], W [directions, gates * hidden, in]. The rest is made of gates in a row.
void Recurrent(NodeTies& ties) {
  const Dims* in = ties.In(0);
  const Dims* weight = ties.In(1);
  if (in == nullptr || weight == nullptr || in->size() != 3 || weight->size() != 3) return;
  const Labels last = {kApart, kApart, kIn};
  ties.Join({{{0, last}, {1, last}}, {}, std::nullopt, true});
  for (std::size_t i = 2; i < ties.view().InputCount(); ++i) ties.Parameter(i);
  for (std::size_t o = 0; o < ties.view().OutputCount(); ++o) ties.Constant(o);
}

// Windows along the axes behind the channels.
void Pool(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (ties.HasOutput(1)) return ties.Because("gives the places of its maxima");
  if (in == nullptr || in->size() < 3 || ties.view().Int("channels_last", 0) != 0) return;
  std::vector<bool> apart(in->size(), true);
  apart[0] = apart[1] = false;
  JoinOtherAxes(ties, apart);
}

void GlobalPool(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr || in->size() < 3 || ties.view().Int("channels_last", 0) != 0) return;
  ties.Join({{{0, Counted(in->size())}}, Spatial(in->size(), 0, 1), 0, false});
}

constexpr RuleEntry kRules[] = {
    {"", "AveragePool", &Pool},
    {"", "Conv", &Conv},
    {"", "ConvInteger", &ConvInteger},
    {"", "ConvTranspose", &ConvTranspose},
    {"", "Einsum", &Einsum},
    {"", "GRU", &Recurrent},
    {"", "Gemm", &Gemm},
    {"", "GlobalAveragePool", &GlobalPool},
    {"", "GlobalLpPool", &GlobalPool},
    {"", "GlobalMaxPool", &GlobalPool},
    {"", "LSTM", &Recurrent},
    {"", "LpPool", &Pool},
    {"", "MatMul", &MatMul},
    {"", "MatMulInteger", &MatMulInteger},
    {"", "MaxPool", &Pool},
    {"", "QLinearConv", &QLinearConv},
    {"", "QLinearMatMul", &QLinearMatMul},
    {"", "RNN", &Recurrent},
    {"com.microsoft", "FusedConv", &Conv},
    {"com.microsoft", "FusedMatMul", &FusedMatMul},
    {"com.microsoft", "QLinearConv", &QLinearConv},
    {"com.microsoft", "QLinearGlobalAveragePool", &GlobalPool},
};

}  // namespace

std::span<const RuleEntry> LayerRules() { return kRules; }

}  // namespace espalier::coupling
