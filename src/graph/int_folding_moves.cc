#include <algorithm>

#include "graph/int_folding.h"

// Operators that move elements without computing.
namespace espalier::shapes {
namespace {

using Tensors = std::vector<SmallTensor>;

// The dimensions that the operator's shape rule gives, if they are known and small.
std::optional<Dims> SmallOutputDims(const NodeView& view) {
  const Rule rule = FindRule(view.node());
  if (rule == nullptr) return std::nullopt;
  auto shapes = rule(view);
  if (shapes.empty() || !shapes[0] || !IsSmall(*shapes[0])) return std::nullopt;
  return std::move(*shapes[0]);
}

// Identity, Reshape and the like: same elements, other dimensions.
Tensors Relabel(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  if (input == nullptr) return {};
  auto dims = SmallOutputDims(view);
  if (!dims || *KnownElements(*dims) != static_cast<std::int64_t>(input->size())) return {};
  SmallTensor out = *input;
  out.dims = std::move(*dims);
  return {out};
}

Tensors Transpose(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  if (input == nullptr) return {};
  const auto dims = SmallOutputDims(view);
  if (!dims) return {};
  const Dims own = RowMajorStrides(input->dims);
  Dims strides(own.rbegin(), own.rend());
  if (view.HasAttribute("perm")) {
    const Dims order = *view.IntList("perm", Dims());  // the shape rule has checked it
    for (std::size_t i = 0; i < order.size(); ++i)
      strides[i] = own[*AxisIndex(order[i], own.size())];
  }
  return {Pick(*input, *dims, StridedPositions(*dims, strides, 0))};
}

Tensors Slice(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  const auto ranges = input == nullptr ? std::nullopt : SliceRanges(view);
  if (!ranges) return {};
  Dims strides = RowMajorStrides(input->dims);
  Dims dims;
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < ranges->size(); ++i) {
    const SliceRange& range = (*ranges)[i];
    dims.push_back(range.count);
    if (range.count < 1) continue;
    offset += range.start * strides[i];
    strides[i] *= range.count == 1 ? 1 : range.step;
  }
  if (!IsSmall(dims)) return {};
  return {Pick(*input, dims, StridedPositions(dims, strides, offset))};
}

Tensors Expand(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  const auto dims = input == nullptr ? std::nullopt : SmallOutputDims(view);
  if (!dims) return {};
  return {Pick(*input, *dims, BroadcastPositions(input->dims, *dims))};
}

Tensors Gather(const NodeView& view) {
  const SmallTensor* data = view.Elements(0);
  const SmallTensor* indices = view.Elements(1);
  if (data == nullptr || indices == nullptr || indices->IsFloat()) return {};
  const auto dims = SmallOutputDims(view);
  const auto axis = AxisIndex(view.Int("axis", 0).value_or(0), data->dims.size());
  if (!dims || !axis) return {};
  const std::int64_t size = data->dims[*axis];
  const std::int64_t inner = RowMajorStrides(data->dims)[*axis];
  const auto count = static_cast<std::int64_t>(data->size());
  std::vector<std::size_t> positions;
  for (std::int64_t outer = 0; outer < count; outer += size * inner) {
    for (const std::int64_t index : indices->ints) {
      const std::int64_t at = index < 0 && index != kUnknownInt ? index + size : index;
      if (at < 0 || at >= size) return {};
      for (std::int64_t k = 0; k < inner; ++k) {
        positions.push_back(static_cast<std::size_t>(outer + at * inner + k));
      }
    }
  }
  return {Pick(*data, *dims, positions)};
}

// Appends the slices of every input below one index of the outer axes.
void AppendBlock(const SmallTensor& from, std::size_t block, std::size_t blocks, SmallTensor* out) {
  const std::size_t size = from.size() / blocks;
  for (std::size_t k = block * size; k < (block + 1) * size; ++k) {
    if (from.IsFloat()) {
      out->floats.push_back(from.floats[k]);
    } else {
      out->ints.push_back(from.ints[k]);
    }
  }
}

// A stand-in of unknown elements keeps the known ones of a Concat.
const SmallTensor* ElementsOrUnknown(const NodeView& view, std::size_t i, DType dtype,
                                     SmallTensor* stand_in) {
  const SmallTensor* input = view.Elements(i);
  if (input != nullptr) return input->dtype == dtype ? input : nullptr;
  const Shape& dims = view.InputDims(i);
  if (!dims || !IsSmall(*dims)) return nullptr;
  *stand_in = {
      dtype, *dims, Dims(static_cast<std::size_t>(*KnownElements(*dims)), kUnknownInt), {}};
  return stand_in->IsFloat() ? nullptr : stand_in;
}

Tensors Concat(const NodeView& view) {
  auto dims = SmallOutputDims(view);
  if (!dims || view.InputCount() > static_cast<std::size_t>(kMaxElements)) return {};
  DType dtype = DType::kUnknown;
  for (std::size_t i = 0; i < view.InputCount() && dtype == DType::kUnknown; ++i) {
    if (view.Elements(i) != nullptr) dtype = view.Elements(i)->dtype;
  }
  if (dtype == DType::kUnknown) return {};
  std::vector<SmallTensor> stand_ins(view.InputCount());
  std::vector<const SmallTensor*> inputs;
  for (std::size_t i = 0; i < view.InputCount(); ++i) {
    inputs.push_back(ElementsOrUnknown(view, i, dtype, &stand_ins[i]));
    if (inputs.back() == nullptr) return {};
  }
  const auto axis = AxisIndex(view.Int("axis", 1).value_or(1), dims->size());
  if (!axis) return {};
  std::size_t blocks = 1;
  for (std::size_t i = 0; i < *axis; ++i) blocks *= static_cast<std::size_t>((*dims)[i]);
  SmallTensor out{dtype, std::move(*dims), {}, {}};
  for (std::size_t block = 0; block < blocks; ++block) {
    for (const SmallTensor* input : inputs) AppendBlock(*input, block, blocks, &out);
  }
  return {out};
}

Tensors Split(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  if (input == nullptr) return {};
  const auto axis = AxisIndex(view.Int("axis", 0).value_or(0), input->dims.size());
  if (!axis) return {};
  const Dims strides = RowMajorStrides(input->dims);
  std::int64_t start = 0;
  Tensors out;
  for (const std::int64_t size : SplitSizes(view, input->dims[*axis])) {
    if (size < 0 || size > input->dims[*axis] - start) return {};
    Dims dims = input->dims;
    dims[*axis] = size;
    out.push_back(Pick(*input, dims, StridedPositions(dims, strides, start * strides[*axis])));
    start += size;
  }
  return out;
}

Tensors ShapeOf(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto shape = input ? SmallOutputDims(view) : std::nullopt;
  if (!shape) return {};
  const auto rank = static_cast<std::int64_t>(input->size());
  std::int64_t start = view.Int("start", 0).value_or(0);
  start = std::clamp(start < 0 ? start + rank : start, std::int64_t{0}, rank);
  SmallTensor out{DType::kInt64, *shape, {}, {}};
  for (std::int64_t i = start; i < start + shape->front(); ++i) {
    const std::int64_t dim = (*input)[static_cast<std::size_t>(i)];
    out.ints.push_back(dim < 0 ? kUnknownInt : dim);
  }
  return {out};
}

Tensors SizeOf(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto count = input ? KnownElements(*input) : std::nullopt;
  if (!count) return {};
  return {{DType::kInt64, {}, {*count}, {}}};
}

Tensors ConstantOfShape(const NodeView& view) {
  const auto dims = SmallOutputDims(view);
  if (!dims) return {};
  const auto count = static_cast<std::size_t>(*KnownElements(*dims));
  const auto it = view.node().attributes.find("value");
  if (it == view.node().attributes.end()) {
    return {{DType::kFloat32, *dims, {}, std::vector<double>(count, 0.0)}};
  }
  const auto* value = std::get_if<Tensor>(&it->second);
  const auto element = value == nullptr ? nullptr : SmallTensorOf(*value);
  if (element == nullptr || element->size() != 1) return {};
  return {Pick(*element, *dims, std::vector<std::size_t>(count, 0))};
}

Tensors NonZero(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  if (input == nullptr || input->IsFloat() || input->dims.empty()) return {};
  if (std::ranges::find(input->ints, kUnknownInt) != input->ints.end()) return {};
  std::vector<std::int64_t> flat;
  for (std::size_t i = 0; i < input->ints.size(); ++i) {
    if (input->ints[i] != 0) flat.push_back(static_cast<std::int64_t>(i));
  }
  const Dims strides = RowMajorStrides(input->dims);
  const Dims dims = {static_cast<std::int64_t>(strides.size()),
                     static_cast<std::int64_t>(flat.size())};
  if (!IsSmall(dims)) return {};
  SmallTensor out{DType::kInt64, dims, {}, {}};
  for (std::size_t axis = 0; axis < strides.size(); ++axis) {
    for (const std::int64_t at : flat) {
      out.ints.push_back(at / strides[axis] % input->dims[axis]);
    }
  }
  return {out};
}

constexpr FoldEntry kFolds[] = {
    {"Concat", &Concat},     {"ConstantOfShape", &ConstantOfShape},
    {"Expand", &Expand},     {"Flatten", &Relabel},
    {"Gather", &Gather},     {"Identity", &Relabel},
    {"NonZero", &NonZero},   {"Reshape", &Relabel},
    {"Shape", &ShapeOf},     {"Size", &SizeOf},
    {"Slice", &Slice},       {"Split", &Split},
    {"Squeeze", &Relabel},   {"Transpose", &Transpose},
    {"Unsqueeze", &Relabel},
};

}  // namespace

std::span<const FoldEntry> MoveFolds() { return kFolds; }

}  // namespace espalier::shapes
