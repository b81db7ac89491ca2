#include <algorithm>
#include <map>
#include <string>

#include "graph/shape_rules.h"

namespace espalier::shapes {
namespace {

bool Fits(std::int64_t a, std::int64_t b) { return a < 0 || b < 0 || a == b; }

// Numpy's matmul: a vector on either side loses its axis, leading axes broadcast.
Shape Product(Dims a, Dims b, bool transpose_a, bool transpose_b) {
  if (a.empty() || b.empty()) return std::nullopt;
  const bool vector_a = a.size() == 1;
  const bool vector_b = b.size() == 1;
  if (vector_a) a.insert(a.begin(), 1);
  if (vector_b) b.push_back(1);
  if (transpose_a && !vector_a) std::swap(a[a.size() - 1], a[a.size() - 2]);
  if (transpose_b && !vector_b) std::swap(b[b.size() - 1], b[b.size() - 2]);
  if (!Fits(a.back(), b[b.size() - 2])) return std::nullopt;
  Shape out = Broadcast(Dims(a.begin(), a.end() - 2), Dims(b.begin(), b.end() - 2));
  if (!out) return std::nullopt;
  if (!vector_a) out->push_back(a[a.size() - 2]);
  if (!vector_b) out->push_back(b.back());
  return out;
}

std::vector<Shape> ProductOf(const NodeView& view, std::size_t right_input) {
  const Shape& a = view.InputDims(0);
  const Shape& b = view.InputDims(right_input);
  const auto transpose_a = view.Int("transA", 0);
  const auto transpose_b = view.Int("transB", 0);
  if (!a || !b || !transpose_a || !transpose_b) return {};
  if (view.Int("transBatchA", 0) != 0 || view.Int("transBatchB", 0) != 0) return {};
  return {Product(*a, *b, *transpose_a != 0, *transpose_b != 0)};
}

std::vector<Shape> MatMul(const NodeView& view) { return ProductOf(view, 1); }
std::vector<Shape> QLinearMatMul(const NodeView& view) { return ProductOf(view, 3); }

std::vector<Shape> GemmOf(const NodeView& view, std::size_t right_input) {
  if (view.InputOfRank(0, 2) == nullptr || view.InputOfRank(right_input, 2) == nullptr) return {};
  return ProductOf(view, right_input);
}

std::vector<Shape> Gemm(const NodeView& view) { return GemmOf(view, 1); }
std::vector<Shape> QGemm(const NodeView& view) { return GemmOf(view, 3); }

// Weights packed in 4 or 8 bits: the attributes hold their real size.
std::vector<Shape> MatMulNBits(const NodeView& view) {
  Shape out = view.InputDims(0);
  const auto columns = view.Int("N", kUnknownDim);
  if (!out || out->empty() || !columns) return {};
  out->back() = std::max(*columns, kUnknownDim);
  return {out};
}

// com.microsoft Attention: input [batch, steps, in], weight [in, q + k + v].
std::vector<Shape> Attention(const NodeView& view) {
  const Dims* input = view.InputOfRank(0, 3);
  const Dims* weight = view.InputOfRank(1, 2);
  const auto sizes = view.IntList("qkv_hidden_sizes", Dims());
  if (input == nullptr || !sizes) return {};
  std::int64_t hidden = kUnknownDim;
  if (sizes->size() == 3) {
    hidden = std::max(sizes->back(), kUnknownDim);
  } else if (weight != nullptr && weight->back() > 0 && weight->back() % 3 == 0) {
    hidden = weight->back() / 3;
  }
  return {Dims{(*input)[0], (*input)[1], hidden}};
}

// X [steps, batch, in], R [directions, gates * hidden, hidden]; layout 1 puts the batch first.
std::vector<Shape> Recurrent(const NodeView& view) {
  const Dims* input = view.InputOfRank(0, 3);
  const Dims* recurrence = view.InputOfRank(2, 3);
  const auto layout = view.Int("layout", 0);
  const auto direction = view.Text("direction", "forward");
  auto hidden = view.Int("hidden_size", recurrence == nullptr ? kUnknownDim : recurrence->back());
  if (!layout || !direction || !hidden) return {};
  if (*hidden < 1) hidden = kUnknownDim;
  const std::int64_t directions = *direction == "bidirectional" ? 2 : 1;
  const std::int64_t first = input == nullptr ? kUnknownDim : (*input)[0];
  const std::int64_t second = input == nullptr ? kUnknownDim : (*input)[1];
  if (*layout != 0) {
    const Dims state = {first, directions, *hidden};
    return {Dims{first, second, directions, *hidden}, state, state};
  }
  const Dims state = {directions, second, *hidden};
  return {Dims{first, directions, second, *hidden}, state, state};
}

// Explicit equations of letters; no "...".
std::vector<Shape> Einsum(const NodeView& view) {
  auto equation = view.Text("equation", "");
  if (!equation) return {};
  std::erase(*equation, ' ');
  const std::size_t arrow = equation->find("->");
  if (arrow == std::string::npos || equation->find('.') != std::string::npos) return {};
  std::map<char, std::int64_t> sizes;
  std::size_t input = 0;
  std::size_t axis = 0;
  for (std::size_t i = 0; i <= arrow; ++i) {
    const Shape& dims = view.InputDims(input);
    if (i == arrow || (*equation)[i] == ',') {
      if (!dims || dims->size() != axis) return {};
      ++input;
      axis = 0;
      continue;
    }
    if (!dims || axis >= dims->size()) return {};
    std::int64_t& size = sizes.try_emplace((*equation)[i], (*dims)[axis]).first->second;
    if (size == 1 || size < 0) size = (*dims)[axis];
    if (!Fits(size, (*dims)[axis]) && (*dims)[axis] != 1) return {};
    ++axis;
  }
  if (input != view.InputCount()) return {};
  Dims out;
  for (const char label : equation->substr(arrow + 2)) {
    if (!sizes.contains(label)) return {};
    out.push_back(sizes[label]);
  }
  return {out};
}

constexpr RuleEntry kRules[] = {
    {"", "Einsum", &Einsum},
    {"", "Gemm", &Gemm},
    {"", "MatMul", &MatMul},
    {"", "MatMulInteger", &MatMul},
    {"", "QLinearMatMul", &QLinearMatMul},
    {"", "GRU", &Recurrent},
    {"", "LSTM", &Recurrent},
    {"", "RNN", &Recurrent},
    {"com.microsoft", "Attention", &Attention},
    {"com.microsoft", "DynamicQuantizeMatMul", &MatMul},
    {"com.microsoft", "FusedGemm", &Gemm},
    {"com.microsoft", "FusedMatMul", &MatMul},
    {"com.microsoft", "MatMulInteger16", &MatMul},
    {"com.microsoft", "MatMulIntegerToFloat", &MatMul},
    {"com.microsoft", "MatMulNBits", &MatMulNBits},
    {"com.microsoft", "QGemm", &QGemm},
    {"com.microsoft", "TransposeMatMul", &MatMul},
};

}  // namespace

std::span<const RuleEntry> MatrixRules() { return kRules; }

}  // namespace espalier::shapes
