#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/shape_rules.h"

// Where the elements of Reshape, Squeeze, Slice and Split go: shared by shapes and folding.
namespace espalier::shapes {
namespace {

// Reads an axis' element of a list that may be missing; kUnknownInt if the list is not known.
std::int64_t ElementOr(const std::optional<Dims>& list, std::size_t i, std::size_t size) {
  return list && list->size() == size ? (*list)[i] : kUnknownInt;
}

SliceRange RangeOf(std::int64_t dim, std::int64_t start, std::int64_t end, std::int64_t step) {
  const bool known = start != kUnknownInt && end != kUnknownInt && step != kUnknownInt;
  if (!known || dim < 0 || step == 0) return {};
  if (dim == 0) return {0, step, 0};
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? dim : dim - 1;
  start = std::clamp(start < 0 ? start + dim : start, std::int64_t{0}, high);
  // ONNX Runtime reads the largest int32 and int64 as "to the end", backwards too.
  const bool to_end = end == std::numeric_limits<std::int64_t>::max() ||
                      end == std::numeric_limits<std::int32_t>::max();
  end = to_end ? (step > 0 ? high : low) : std::clamp(end < 0 ? end + dim : end, low, high);
  const std::int64_t distance = step > 0 ? end - start : start - end;
  if (distance <= 0) return {start, step, 0};
  if (distance == 1) return {start, 1, 1};
  // -(step + 1) cannot overflow, also for the smallest integer.
  const std::int64_t skip = step > 0 ? step - 1 : -(step + 1);
  if (skip >= distance) return {start, 1, 1};
  return {start, step, (distance - 1) / (skip + 1) + 1};
}

}  // namespace

std::optional<std::vector<SliceRange>> SliceRanges(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input) return std::nullopt;
  const bool attributes = view.HasAttribute("starts");
  const auto list = [&](const char* name, std::size_t i) {
    return attributes ? view.IntList(name, Dims()) : view.Ints(i);
  };
  const bool has_axes = attributes ? view.HasAttribute("axes") : view.HasInput(3);
  const bool has_steps = !attributes && view.HasInput(4);
  const auto starts = list("starts", 1);
  const auto ends = list("ends", 2);
  const std::size_t count = starts ? starts->size() : ends ? ends->size() : 0;
  Dims axes(count);
  std::iota(axes.begin(), axes.end(), 0);
  if (has_axes) {
    const auto given = attributes ? view.IntList("axes", Dims()) : view.KnownInts(3);
    if (!given) return std::nullopt;
    axes = *given;
  } else if (!starts && !ends) {
    return std::nullopt;
  }
  if (!AxisSet(axes, input->size())) return std::nullopt;
  const auto steps = has_steps ? view.Ints(4) : std::optional<Dims>(Dims(axes.size(), 1));
  std::vector<SliceRange> ranges;
  for (const std::int64_t dim : *input) ranges.push_back({0, 1, dim});
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = *AxisIndex(axes[i], input->size());
    ranges[axis] = RangeOf((*input)[axis], ElementOr(starts, i, axes.size()),
                           ElementOr(ends, i, axes.size()), ElementOr(steps, i, axes.size()));
  }
  return ranges;
}

Dims SplitSizes(const NodeView& view, std::int64_t dim) {
  const std::size_t outputs = view.OutputCount();
  Dims sizes(outputs, kUnknownDim);
  if (view.Gives("split", 1)) {
    const auto given = view.AttributeOrInput("split", 1);
    if (!given || given->size() != outputs) return sizes;
    for (std::size_t i = 0; i < outputs; ++i) sizes[i] = std::max((*given)[i], kUnknownDim);
    return sizes;
  }
  const auto parts = static_cast<std::int64_t>(outputs);
  const auto wanted = view.Int("num_outputs", parts);
  if (dim < 0 || parts == 0 || wanted != parts) return sizes;
  // Opset 18 allows a smaller last part, and only with num_outputs.
  if (dim % parts != 0 && !view.HasAttribute("num_outputs")) return sizes;
  const std::int64_t part = (dim + parts - 1) / parts;
  std::ranges::fill(sizes, part);
  sizes.back() = std::max(dim - part * (parts - 1), kUnknownDim);
  return sizes;
}

Shape ReshapedDims(const Shape& data, const Dims& target, bool allow_zero) {
  Dims out = target;
  std::size_t unknown = 0;
  std::size_t open = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] == 0 && !allow_zero) {
      if (data && i >= data->size()) return std::nullopt;
      out[i] = data ? (*data)[i] : kUnknownDim;
    } else if (out[i] < kUnknownDim && out[i] != kUnknownInt) {
      return std::nullopt;
    }
    if (out[i] >= 0) continue;
    out[i] = kUnknownDim;
    ++unknown;
    open = i;
  }
  const auto total = data ? KnownElements(*data) : std::nullopt;
  if (!total) return out;
  if (unknown == 0) return KnownElements(out) == total ? Shape(out) : std::nullopt;
  if (unknown > 1) return out;
  Dims rest = out;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(open));
  const auto known = KnownElements(rest);
  if (!known || *known == 0) return out;
  if (*total % *known != 0) return std::nullopt;
  out[open] = *total / *known;
  return out;
}

Shape SqueezedDims(const Dims& dims, const std::optional<Dims>& axes) {
  // ONNX Runtime takes an empty list as none given.
  const bool chosen = axes && !axes->empty();
  const auto dropped = chosen ? AxisSet(*axes, dims.size()) : std::nullopt;
  if (chosen && !dropped) return std::nullopt;
  Dims out;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (!chosen && dims[i] < 0) return std::nullopt;
    const bool drop = chosen ? (*dropped)[i] : dims[i] == 1;
    if (!drop) {
      out.push_back(dims[i]);
    } else if (dims[i] > 1 || dims[i] == 0) {
      return std::nullopt;
    }
  }
  return out;
}

Shape UnsqueezedDims(const Dims& dims, const Dims& axes) {
  const std::size_t rank = dims.size() + axes.size();
  if (rank > kMaxRank) return std::nullopt;
  const auto added = AxisSet(axes, rank);
  if (!added) return std::nullopt;
  Dims out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < rank; ++i) out.push_back((*added)[i] ? 1 : dims[next++]);
  return out;
}

}  // namespace espalier::shapes
