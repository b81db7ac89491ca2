#include <algorithm>

#include "graph/shape_rules.h"

namespace espalier::shapes {
namespace {

Dims Without(const Dims& dims, const std::vector<bool>& dropped, bool keep) {
  Dims out;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (!dropped[i]) {
      out.push_back(dims[i]);
    } else if (keep) {
      out.push_back(1);
    }
  }
  return out;
}

std::vector<Shape> Reduce(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto keep = view.Int("keepdims", 1);
  if (!input || !keep) return {};
  if (const auto dropped = ReducedAxes(view, input->size())) {
    return {Without(*input, *dropped, *keep != 0)};
  }
  return {*keep != 0 ? Shape(Dims(input->size(), kUnknownDim)) : std::nullopt};
}

std::vector<Shape> ArgReduce(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto keep = view.Int("keepdims", 1);
  const auto given = view.Int("axis", 0);
  const auto axis = input && given ? AxisIndex(*given, input->size()) : std::nullopt;
  if (!axis || !keep) return {};
  std::vector<bool> dropped(input->size());
  dropped[*axis] = true;
  return {Without(*input, dropped, *keep != 0)};
}

std::vector<Shape> TopK(const NodeView& view) {
  Shape out = view.InputDims(0);
  const auto given = view.Int("axis", -1);
  const auto axis = out && given ? AxisIndex(*given, out->size()) : std::nullopt;
  if (!axis) return {};
  const auto count = view.HasAttribute("k") ? view.Int("k", 0) : view.OneInt(1);
  (*out)[*axis] = std::max(count.value_or(kUnknownDim), kUnknownDim);
  return {out, out};
}

constexpr RuleEntry kRules[] = {
    {"", "ArgMax", &ArgReduce},  {"", "ArgMin", &ArgReduce},    {"", "ReduceL1", &Reduce},
    {"", "ReduceL2", &Reduce},   {"", "ReduceLogSum", &Reduce}, {"", "ReduceLogSumExp", &Reduce},
    {"", "ReduceMax", &Reduce},  {"", "ReduceMean", &Reduce},   {"", "ReduceMin", &Reduce},
    {"", "ReduceProd", &Reduce}, {"", "ReduceSum", &Reduce},    {"", "ReduceSumSquare", &Reduce},
    {"", "TopK", &TopK},
};

}  // namespace

std::optional<std::vector<bool>> ReducedAxes(const NodeView& view, std::size_t rank) {
  const auto axes = view.AttributeOrInput("axes", 1);
  if (!axes && view.Gives("axes", 1)) return std::nullopt;
  if (axes && !axes->empty()) return AxisSet(*axes, rank);
  const auto nothing = view.Int("noop_with_empty_axes", 0);
  if (!nothing) return std::nullopt;
  return std::vector<bool>(rank, *nothing == 0);
}

std::span<const RuleEntry> ReduceRules() { return kRules; }

}  // namespace espalier::shapes
