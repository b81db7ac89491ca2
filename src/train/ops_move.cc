#include <ATen/WrapDimUtils.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "train/op_table.h"
#include "train/slice_cuts.h"

namespace espalier::train {
namespace {

// @throws c10::Error  if there is no such axis.
std::int64_t Wrapped(std::int64_t axis, std::int64_t rank) {
  return at::maybe_wrap_dim(axis, rank, /*wrap_scalar=*/false);
}

Outputs Reshape(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  std::vector<std::int64_t> shape = call.IntsAt(1, "shape").value_or(std::vector<std::int64_t>{});
  if (call.Int("allowzero", 0) == 0) {
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 0) shape[i] = x.size(static_cast<std::int64_t>(i));
    }
  }
  return {x.reshape(shape)};
}

Outputs Flatten(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  std::int64_t axis = call.Int("axis", 1);
  if (axis < 0) axis += x.dim();
  std::int64_t rows = 1;
  for (std::int64_t i = 0; i < axis; ++i) rows *= x.size(i);
  return {x.reshape({rows, rows == 0 ? 0 : x.numel() / rows})};
}

Outputs Squeeze(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  auto axes = call.IntsAt(1, "axes");
  if (!axes) return {x.squeeze()};
  for (std::int64_t& axis : *axes) axis = Wrapped(axis, x.dim());
  std::sort(axes->rbegin(), axes->rend());
  at::Tensor y = x;
  for (const std::int64_t axis : *axes) y = y.squeeze(axis);
  return {y};
}

Outputs Unsqueeze(const OpCall& call) {
  at::Tensor y = call.inputs[0];
  auto axes = call.IntsAt(1, "axes").value_or(std::vector<std::int64_t>{});
  const std::int64_t rank = y.dim() + static_cast<std::int64_t>(axes.size());
  for (std::int64_t& axis : axes) axis = Wrapped(axis, rank);
  std::sort(axes.begin(), axes.end());
  for (const std::int64_t axis : axes) y = y.unsqueeze(axis);
  return {y};
}

Outputs Transpose(const OpCall& call) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(call.inputs[0].dim()));
  std::iota(order.rbegin(), order.rend(), 0);
  return {call.inputs[0].permute(call.Ints("perm", order))};
}

Outputs Concat(const OpCall& call) { return {at::cat(call.inputs.All(), call.Int("axis", 1))}; }

Outputs Split(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t axis = Wrapped(call.Int("axis", 0), x.dim());
  if (const auto sizes = call.IntsAt(1, "split")) return at::split_with_sizes(x, *sizes, axis);
  const auto count = static_cast<std::int64_t>(call.node.outputs.size());  // at least 1
  return at::split(x, (x.size(axis) + count - 1) / count, axis);
}

// A slice with a step above 0, cut to the axis.
std::pair<std::int64_t, std::int64_t> ForwardRange(std::int64_t size, std::int64_t start,
                                                   std::int64_t end) {
  start = std::clamp<std::int64_t>(start < 0 ? start + size : start, 0, size);
  end = std::clamp<std::int64_t>(end < 0 ? end + size : end, 0, size);
  return {start, std::max(start, end)};
}

at::Tensor SliceAxis(const at::Tensor& x, std::int64_t axis, std::int64_t start, std::int64_t end,
                     std::int64_t step) {
  const std::int64_t size = x.size(axis);
  if (step > 0) {
    const auto [first, last] = ForwardRange(size, start, end);
    return x.slice(axis, first, last, step);
  }
  if (start < 0) start += size;
  if (end < 0) end = end < -size ? -1 : end + size;  // the smallest end means: before the first
  start = std::clamp<std::int64_t>(start, -1, size - 1);
  end = std::clamp<std::int64_t>(end, -1, start);
  return x.flip(axis).slice(axis, size - 1 - start, size - 1 - end, -step);
}

Outputs Slice(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const auto starts = call.RequiredInts(1, "starts");
  const auto ends = call.RequiredInts(2, "ends");
  std::vector<std::int64_t> axes(starts.size());
  std::iota(axes.begin(), axes.end(), 0);
  axes = call.IntsAt(3, "axes").value_or(axes);
  const auto steps = call.IntsAt(4, "steps").value_or(std::vector<std::int64_t>(starts.size(), 1));
  for (const std::size_t count : {ends.size(), axes.size(), steps.size()}) {
    if (count != starts.size()) ThrowMalformed(call.node, "has lists of different lengths");
  }
  if (call.cuts != nullptr && starts.size() == 1 && steps[0] == 1) {
    const std::int64_t axis = Wrapped(axes[0], x.dim());
    const auto [begin, end] = ForwardRange(x.size(axis), starts[0], ends[0]);
    return {call.cuts->Take(x, axis, begin, end)};
  }
  at::Tensor y = x;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    y = SliceAxis(y, Wrapped(axes[i], x.dim()), starts[i], ends[i], steps[i]);
  }
  return {y};
}

// Where each element of a padded axis comes from.
at::Tensor PadSources(const std::string& mode, std::int64_t size, std::int64_t begin,
                      std::int64_t end) {
  at::Tensor at = at::arange(-begin, size + end, at::kLong);
  if (mode == "wrap") return at.remainder(size);
  if (mode == "edge") return at.clamp(0, size - 1);
  const std::int64_t period = std::max<std::int64_t>(2 * (size - 1), 1);
  at = at.remainder(period);  // reflect: up and down again
  return at::minimum(at, period - at);
}

Outputs Pad(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const auto rank = static_cast<std::size_t>(x.dim());
  const auto given = call.RequiredInts(1, "pads");
  std::vector<std::int64_t> axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  if (call.Has(3)) axes = IntsOf(call.inputs[3]);
  if (given.size() != 2 * axes.size()) ThrowMalformed(call.node, "has pads for other axes");
  std::vector<std::int64_t> pads(2 * rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(at::maybe_wrap_dim(axes[i], x.dim(), false));
    pads[axis] = given[i];
    pads[rank + axis] = given[axes.size() + i];
  }
  const std::string mode = call.Text("mode", "constant");
  if (mode == "constant") {
    const at::Scalar value =
        call.Has(2) ? call.inputs[2].item() : at::Scalar(call.Float("value", 0));
    return {at::constant_pad_nd(x, TorchPads(pads), value)};
  }
  at::Tensor y = x;
  for (std::size_t i = 0; i < rank; ++i) {
    if (pads[i] == 0 && pads[rank + i] == 0) continue;
    const auto axis = static_cast<std::int64_t>(i);
    const at::Tensor from = PadSources(mode, x.size(axis), pads[i], pads[rank + i]);
    y = y.index_select(axis, from.to(x.device()));
  }
  return {y};
}

Outputs Expand(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  std::vector<std::int64_t> shape = IntsOf(call.inputs[1]);
  while (static_cast<std::int64_t>(shape.size()) < x.dim()) shape.insert(shape.begin(), 1);
  for (std::int64_t i = 1; i <= x.dim(); ++i) {
    std::int64_t& wanted = shape[shape.size() - static_cast<std::size_t>(i)];
    if (wanted == 1) wanted = x.size(-i);
  }
  return {x.expand(shape)};
}

Outputs Tile(const OpCall& call) { return {call.inputs[0].repeat(IntsOf(call.inputs[1]))}; }

Outputs DepthToSpace(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t block = call.Int("blocksize", 1);
  if (block < 1) ThrowMalformed(call.node, fmt::format("has blocks of {}", block));
  if (call.Text("mode", "DCR") == "CRD") return {at::pixel_shuffle(x, block)};
  const std::int64_t n = x.size(0), c = x.size(1) / (block * block), h = x.size(2), w = x.size(3);
  return {x.reshape({n, block, block, c, h, w})
              .permute({0, 3, 4, 1, 5, 2})
              .reshape({n, c, h * block, w * block})};
}

Outputs SpaceToDepth(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t block = call.Int("blocksize", 1);
  if (block < 1) ThrowMalformed(call.node, fmt::format("has blocks of {}", block));
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2) / block, w = x.size(3) / block;
  return {x.reshape({n, c, h, block, w, block})
              .permute({0, 3, 5, 1, 2, 4})
              .reshape({n, c * block * block, h, w})};
}

Outputs Trilu(const OpCall& call) {
  const std::int64_t k = call.Has(1) ? call.inputs[1].item().toLong() : 0;
  const at::Tensor& x = call.inputs[0];
  return {call.Int("upper", 1) != 0 ? at::triu(x, k) : at::tril(x, k)};
}

constexpr OpEntry kOps[] = {
    {"Reshape", &Reshape},
    {"Flatten", &Flatten},
    {"Squeeze", &Squeeze},
    {"Unsqueeze", &Unsqueeze},
    {"Transpose", &Transpose},
    {"Concat", &Concat},
    {"Split", &Split},
    {"Slice", &Slice},
    {"Pad", &Pad},
    {"Expand", &Expand},
    {"Tile", &Tile},
    {"DepthToSpace", &DepthToSpace},
    {"SpaceToDepth", &SpaceToDepth},
    {"Trilu", &Trilu},
};

}  // namespace

std::span<const OpEntry> MoveOps() { return kOps; }

}  // namespace espalier::train
