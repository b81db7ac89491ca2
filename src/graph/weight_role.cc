#include "graph/weight_role.h"

#include <fmt/format.h>

#include <algorithm>

namespace espalier {
namespace {

using Role = std::variant<WeightRole, std::string>;

// Makes the role from the array that the node sees.
using MakeRole = Role (*)(const Node& node, const StridedArray& array, bool is_left);

struct RoleEntry {
  std::string_view domain;
  std::string_view op_type;
  int input;             // which input is the weight
  bool is_left;          // MatMul-like: the left operand
  int scale_input;       // of integer weights, or -1
  int zero_point_input;  // likewise
  std::string_view suffix;
  MakeRole make;
};

Axis AxisAt(const StridedArray& array, std::size_t i) {
  return {array.dims[i], array.dims[i] == 1 ? 0 : array.strides[i]};
}

// Groups of size 1 say nothing.
void Append(std::vector<Axis>* axes, const Axis& axis) {
  if (axis.size != 1) axes->push_back(axis);
}

std::string RankText(const Node& node, const StridedArray& array, std::string_view wanted) {
  return fmt::format("{} has a weight of {} dimensions, not {}", NodeText(node), array.dims.size(),
                     wanted);
}

Role ConvRole(const Node& node, const StridedArray& array, bool transposed) {
  const std::size_t rank = array.dims.size();
  if (rank < 3 || rank > 5) return RankText(node, array, "3, 4 or 5");
  const auto groups = IntAttribute(node, "group", 1);
  if (!groups || *groups < 1 || array.dims[0] % *groups != 0) {
    return fmt::format(
        "{} has {} as its first weight dimension, which its 'group' attribute does "
        "not divide",
        NodeText(node), array.dims[0]);
  }
  // Conv stores [K, C / groups, ...], ConvTranspose [C, K / groups, ...]; groups split axis 0.
  const std::int64_t per_group = array.dims[0] / *groups;
  const Axis split = {per_group, per_group == 1 ? 0 : array.strides[0]};
  WeightRole role;
  role.kind = LayerKind::kConv;
  Append(&role.view.groups, {*groups, per_group * array.strides[0]});
  role.view.out = transposed ? AxisAt(array, 1) : split;
  role.view.in = transposed ? split : AxisAt(array, 1);
  for (std::size_t i = 2; i < rank; ++i) role.view.positions.push_back(AxisAt(array, i));
  role.pointwise = role.view.PositionCount() == 1 && *groups == 1;
  role.depthwise = *groups > 1 && role.view.in.size == 1;
  return role;
}

Role ConvForwardRole(const Node& node, const StridedArray& array, bool) {
  return ConvRole(node, array, false);
}

Role ConvTransposeRole(const Node& node, const StridedArray& array, bool) {
  return ConvRole(node, array, true);
}

Role MatrixRole(const StridedArray& array, bool channels_first) {
  const std::size_t rank = array.dims.size();
  WeightRole role;
  for (std::size_t i = 0; i + 2 < rank; ++i) Append(&role.view.groups, AxisAt(array, i));
  if (rank == 1) {
    role.view.in = AxisAt(array, 0);
  } else {
    role.view.in = AxisAt(array, channels_first ? rank - 2 : rank - 1);
    role.view.out = AxisAt(array, channels_first ? rank - 1 : rank - 2);
  }
  return role;
}

Role GemmRole(const Node& node, const StridedArray& array, bool is_left) {
  if (array.dims.size() != 2) return RankText(node, array, "2");
  const auto transposed = IntAttribute(node, is_left ? "transA" : "transB", 0);
  if (!transposed)
    return fmt::format("{} has a transpose attribute without a value", NodeText(node));
  return MatrixRole(array, (*transposed != 0) == is_left);
}

Role MatMulRole(const Node& node, const StridedArray& array, bool is_left) {
  if (array.dims.empty()) return RankText(node, array, "1 or more");
  return MatrixRole(array, !is_left);
}

Role FusedMatMulRole(const Node& node, const StridedArray& array, bool is_left) {
  const auto batch = IntAttribute(node, is_left ? "transBatchA" : "transBatchB", 0);
  const auto transposed = IntAttribute(node, is_left ? "transA" : "transB", 0);
  if (array.dims.size() < 2 || !batch || *batch != 0 || !transposed) {
    return fmt::format("{} uses batch transposes, which are not supported", NodeText(node));
  }
  return MatrixRole(array, (*transposed != 0) == is_left);
}

Role RecurrentRole(const Node& node, const StridedArray& array, bool) {
  if (array.dims.size() != 3) return RankText(node, array, "3");
  WeightRole role = std::get<WeightRole>(MatrixRole(array, false));
  role.kind = LayerKind::kRecurrent;
  return role;
}

// com.microsoft QLinearConv is ONNX's, with another layout on request.
Role MsConvRole(const Node& node, const StridedArray& array, bool) {
  if (IntAttribute(node, "channels_last", 0) != 0) {
    return fmt::format("{} has its channels last, which is not supported", NodeText(node));
  }
  return ConvRole(node, array, false);
}

Role UnsupportedRole(const Node& node, const StridedArray&, bool) {
  return fmt::format("{} is not supported", NodeText(node));
}

Role PackedBitsRole(const Node& node, const StridedArray&, bool) {
  return fmt::format("{} packs its weight in blocks of bits, which is not supported",
                     NodeText(node));
}

// The weights of every operator that Espalier prunes, and of those it refuses aloud: input numbers
// from the ONNX operator list (opset 1 to 23) and ONNX Runtime's contributed operators.
constexpr std::string_view kMs = "com.microsoft";
constexpr RoleEntry kRoles[] = {
    {"", "Conv", 1, false, -1, -1, "", &ConvForwardRole},
    {"", "ConvTranspose", 1, false, -1, -1, "", &ConvTransposeRole},
    {"", "DeformConv", 1, false, -1, -1, "", &ConvForwardRole},
    {"", "ConvInteger", 1, false, -1, 3, "", &ConvForwardRole},
    {"", "QLinearConv", 3, false, 4, 5, "", &ConvForwardRole},
    {"", "Gemm", 0, true, -1, -1, "", &GemmRole},
    {"", "Gemm", 1, false, -1, -1, "", &GemmRole},
    {"", "MatMul", 0, true, -1, -1, "", &MatMulRole},
    {"", "MatMul", 1, false, -1, -1, "", &MatMulRole},
    {"", "MatMulInteger", 0, true, -1, 2, "", &MatMulRole},
    {"", "MatMulInteger", 1, false, -1, 3, "", &MatMulRole},
    {"", "QLinearMatMul", 0, true, 1, 2, "", &MatMulRole},
    {"", "QLinearMatMul", 3, false, 4, 5, "", &MatMulRole},
    {"", "RNN", 1, false, -1, -1, ":W", &RecurrentRole},
    {"", "RNN", 2, false, -1, -1, ":R", &RecurrentRole},
    {"", "GRU", 1, false, -1, -1, ":W", &RecurrentRole},
    {"", "GRU", 2, false, -1, -1, ":R", &RecurrentRole},
    {"", "LSTM", 1, false, -1, -1, ":W", &RecurrentRole},
    {"", "LSTM", 2, false, -1, -1, ":R", &RecurrentRole},
    {kMs, "FusedConv", 1, false, -1, -1, "", &ConvForwardRole},
    {kMs, "FusedGemm", 1, false, -1, -1, "", &GemmRole},
    {kMs, "FusedMatMul", 0, true, -1, -1, "", &FusedMatMulRole},
    {kMs, "FusedMatMul", 1, false, -1, -1, "", &FusedMatMulRole},
    {kMs, "Attention", 1, false, -1, -1, "", &MatMulRole},
    {kMs, "QLinearConv", 3, false, 4, 5, "", &MsConvRole},
    {kMs, "QGemm", 3, false, 4, 5, "", &GemmRole},
    {kMs, "DynamicQuantizeMatMul", 1, false, 2, 3, "", &MatMulRole},
    {kMs, "MatMulIntegerToFloat", 1, false, 3, 5, "", &MatMulRole},
    {kMs, "QAttention", 1, false, 4, 7, "", &UnsupportedRole},
    {kMs, "DynamicQuantizeLSTM", 1, false, 8, 9, ":W", &UnsupportedRole},
    {kMs, "DynamicQuantizeLSTM", 2, false, 10, 11, ":R", &UnsupportedRole},
    {kMs, "MatMulNBits", 1, false, 2, 3, "", &PackedBitsRole},
};
// Any operand of an Einsum may be the weight, and its equation says how.
constexpr RoleEntry kEinsum = {"", "Einsum", 0, false, -1, -1, "", &UnsupportedRole};

const RoleEntry* FindEntry(const Node& node, int input) {
  if (node.domain.empty() && node.op_type == kEinsum.op_type) return &kEinsum;
  const auto it = std::ranges::find_if(kRoles, [&](const RoleEntry& entry) {
    return entry.op_type == node.op_type && entry.domain == node.domain && entry.input == input;
  });
  return it == std::end(kRoles) ? nullptr : it;
}

}  // namespace

bool IsWeightInput(const Node& node, int input) { return FindEntry(node, input) != nullptr; }

bool IsLeftOperand(const Node& node, int input) {
  const RoleEntry* entry = FindEntry(node, input);
  return entry != nullptr && (entry->is_left || (entry == &kEinsum && input == 0));
}

std::optional<Role> RoleOf(const ConstantUse& use) {
  const RoleEntry* it = use.node == nullptr ? nullptr : FindEntry(*use.node, use.input);
  if (it == nullptr) return std::nullopt;
  if (std::ranges::any_of(use.array.dims, [](std::int64_t dim) { return dim == 0; })) {
    return fmt::format("it has no elements ({})", DimsText(use.array.dims));
  }
  Role role = it->make(*use.node, use.array, it->is_left);
  if (auto* good = std::get_if<WeightRole>(&role)) {
    good->suffix = it->suffix;
    good->scale_input = it->scale_input;
    good->zero_point_input = it->zero_point_input;
  }
  return role;
}

}  // namespace espalier
