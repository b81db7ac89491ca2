#include <algorithm>
#include <numeric>

#include "graph/shape_rules.h"

namespace espalier::shapes {
namespace {

// Sets *dim to what both sides allow; false if they contradict each other.
bool Merge(std::int64_t other, std::int64_t* dim) {
  if (*dim < 0) *dim = other;
  return other < 0 || other == *dim;
}

// QLinearConcat reads a value, its scale and zero point, from input 2 on; Concat reads values only.
std::vector<Shape> ConcatOf(const NodeView& view, std::size_t first, std::size_t stride) {
  Shape out;
  std::optional<std::size_t> axis;
  std::int64_t total = 0;
  for (std::size_t i = first; i < view.InputCount(); i += stride) {
    const Shape& input = view.InputDims(i);
    if (!input) {
      total = kUnknownDim;
      continue;
    }
    if (!out) {
      const auto given = view.Int("axis", 1);
      axis = given ? AxisIndex(*given, input->size()) : std::nullopt;
      if (!axis) return {};
      out = Dims(input->size(), kUnknownDim);
    }
    if (input->size() != out->size()) return {};
    total = AddDims(total, (*input)[*axis]);
    for (std::size_t k = 0; k < input->size(); ++k) {
      if (k != *axis && !Merge((*input)[k], &(*out)[k])) return {};
    }
  }
  if (out) (*out)[*axis] = total;
  return {out};
}

std::vector<Shape> Concat(const NodeView& view) { return ConcatOf(view, 0, 1); }
std::vector<Shape> QLinearConcat(const NodeView& view) { return ConcatOf(view, 2, 3); }

std::vector<Shape> Split(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto given = view.Int("axis", 0);
  const auto axis = input && given ? AxisIndex(*given, input->size()) : std::nullopt;
  if (!axis) return {};
  std::vector<Shape> out(view.OutputCount(), input);
  const Dims sizes = SplitSizes(view, (*input)[*axis]);
  for (std::size_t i = 0; i < out.size(); ++i) (*out[i])[*axis] = sizes[i];
  return out;
}

std::vector<Shape> Slice(const NodeView& view) {
  const auto ranges = SliceRanges(view);
  const Shape& input = view.InputDims(0);
  if (!ranges) return {input ? Shape(Dims(input->size(), kUnknownDim)) : std::nullopt};
  Dims out;
  for (const SliceRange& range : *ranges) out.push_back(range.count);
  return {out};
}

std::vector<Shape> Pad(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input) return {};
  Dims unknown(input->size(), kUnknownDim);
  const auto pads = view.AttributeOrInput(view.HasAttribute("paddings") ? "paddings" : "pads", 1);
  Dims axes(input->size());
  std::iota(axes.begin(), axes.end(), 0);
  if (view.HasInput(3)) {
    const auto given = view.KnownInts(3);
    if (!given || !AxisSet(*given, input->size())) return {unknown};
    axes = *given;
  }
  if (!pads || pads->size() != 2 * axes.size()) return {unknown};
  Dims out = *input;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    std::int64_t& dim = out[*AxisIndex(axes[i], out.size())];
    std::int64_t padded = dim;
    // Pads may be negative: they crop.
    const bool overflows = __builtin_add_overflow(padded, (*pads)[i], &padded) ||
                           __builtin_add_overflow(padded, (*pads)[i + axes.size()], &padded);
    dim = overflows || dim < 0 || padded < 0 ? kUnknownDim : padded;
  }
  return {out};
}

std::vector<Shape> Reshape(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto allow_zero = view.Int("allowzero", 0);
  if (!allow_zero) return {};
  if (view.HasAttribute("shape")) {
    const auto target = view.IntList("shape", Dims());
    return {target ? ReshapedDims(input, *target, false) : std::nullopt};
  }
  if (const auto target = view.Ints(1)) return {ReshapedDims(input, *target, *allow_zero != 0)};
  return {view.ShapeFromInts(1)};  // the rank at least
}

std::int64_t ProductOf(Dims::const_iterator first, Dims::const_iterator last) {
  return std::accumulate(first, last, std::int64_t{1}, &MulDims);
}

std::vector<Shape> Flatten(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  auto axis = view.Int("axis", 1);
  if (!input || !axis) return {Dims{kUnknownDim, kUnknownDim}};
  const auto rank = static_cast<std::int64_t>(input->size());
  if (*axis < -rank || *axis > rank) return {};
  const auto middle = input->begin() + (*axis < 0 ? *axis + rank : *axis);
  return {Dims{ProductOf(input->begin(), middle), ProductOf(middle, input->end())}};
}

std::vector<Shape> Transpose(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input) return {};
  Dims reversed(input->size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  const auto order = view.IntList("perm", reversed);
  if (!order || order->size() != input->size() || !AxisSet(*order, input->size())) return {};
  Dims out;
  for (const std::int64_t axis : *order) out.push_back((*input)[*AxisIndex(axis, input->size())]);
  return {out};
}

std::vector<Shape> Squeeze(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto axes = view.AttributeOrInput("axes", 1);
  if (!input || (!axes && view.Gives("axes", 1))) return {};
  return {SqueezedDims(*input, axes)};
}

std::vector<Shape> Unsqueeze(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto axes = view.AttributeOrInput("axes", 1);
  return {input && axes ? UnsqueezedDims(*input, *axes) : std::nullopt};
}

std::vector<Shape> Expand(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const Shape target = view.ShapeFromInts(1);
  return {input && target ? Broadcast(*input, *target) : std::nullopt};
}

std::vector<Shape> Tile(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const Shape repeats = view.ShapeFromInts(1);
  if (!input) return {};
  Dims out(input->size(), kUnknownDim);
  if (!repeats || repeats->size() != input->size()) return {out};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = MulDims((*input)[i], (*repeats)[i]);
  return {out};
}

std::int64_t Quotient(std::int64_t dim, std::int64_t by) {
  return dim < 0 || dim % by != 0 ? kUnknownDim : dim / by;
}

std::vector<Shape> DepthToSpace(const NodeView& view) {
  const Dims* input = view.InputOfRank(0, 4);
  const auto block = view.Int("blocksize", 0);
  if (input == nullptr || !block || *block < 1 || *block > kMaxDim) return {};
  return {Dims{(*input)[0], Quotient(Quotient((*input)[1], *block), *block),
               MulDims((*input)[2], *block), MulDims((*input)[3], *block)}};
}

std::vector<Shape> SpaceToDepth(const NodeView& view) {
  const Dims* input = view.InputOfRank(0, 4);
  const auto block = view.Int("blocksize", 0);
  if (input == nullptr || !block || *block < 1 || *block > kMaxDim) return {};
  return {Dims{(*input)[0], MulDims(MulDims((*input)[1], *block), *block),
               Quotient((*input)[2], *block), Quotient((*input)[3], *block)}};
}

constexpr RuleEntry kRules[] = {
    {"", "Concat", &Concat},
    {"", "DepthToSpace", &DepthToSpace},
    {"", "Expand", &Expand},
    {"", "Flatten", &Flatten},
    {"", "Pad", &Pad},
    {"", "Reshape", &Reshape},
    {"", "Slice", &Slice},
    {"", "SpaceToDepth", &SpaceToDepth},
    {"", "Split", &Split},
    {"", "Squeeze", &Squeeze},
    {"", "Tile", &Tile},
    {"", "Transpose", &Transpose},
    {"", "Unsqueeze", &Unsqueeze},
    {"com.microsoft", "QLinearConcat", &QLinearConcat},
};

}  // namespace

std::span<const RuleEntry> LayoutRules() { return kRules; }

}  // namespace espalier::shapes
