#include <ATen/WrapDimUtils.h>

#include <utility>

#include "train/op_table.h"

namespace espalier::train {
namespace {

// Indices count from the end if negative.
at::Tensor Wrapped(const OpCall& call, std::size_t input, std::int64_t size) {
  const at::Tensor index = call.inputs[input].to(call.inputs[0].device(), at::kLong);
  return at::where(index < 0, index + size, index);
}

Outputs Gather(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t axis = at::maybe_wrap_dim(call.Int("axis", 0), x.dim(), false);
  if (call.inputs[1].dim() == 0) return {x.select(axis, call.inputs[1].item().toLong())};
  const at::Tensor index = Wrapped(call, 1, x.size(axis));
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.erase(shape.begin() + axis);
  shape.insert(shape.begin() + axis, index.sizes().begin(), index.sizes().end());
  return {x.index_select(axis, index.reshape({-1})).reshape(shape)};
}

Outputs GatherElements(const OpCall& call) {
  const std::int64_t axis = call.Int("axis", 0);
  return {at::gather(call.inputs[0], axis, Wrapped(call, 1, call.inputs[0].size(axis)))};
}

// Row numbers of `x`, seen as a matrix whose rows the last axis of `index` picks; `first` axes of
// both are a batch.
at::Tensor RowNumbers(const at::Tensor& x, const at::Tensor& index, std::int64_t first) {
  const std::int64_t depth = index.size(-1);
  at::Tensor rows = at::zeros({1}, index.options());
  if (first > 0) {
    std::int64_t batch = 1;
    std::vector<std::int64_t> shape(static_cast<std::size_t>(index.dim() - 1), 1);
    for (std::int64_t i = 0; i < first; ++i) {
      shape[static_cast<std::size_t>(i)] = x.size(i);
      batch *= x.size(i);
    }
    rows = at::arange(batch, index.options()).reshape(shape);
  }
  for (std::int64_t i = 0; i < depth; ++i) {
    const std::int64_t size = x.size(first + i);
    const at::Tensor part = index.select(-1, i);
    rows = rows * size + at::where(part < 0, part + size, part);
  }
  return rows.reshape({-1});
}

at::Tensor AsRows(const at::Tensor& x, std::int64_t axes) {
  std::int64_t rows = 1;
  for (std::int64_t i = 0; i < axes; ++i) rows *= x.size(i);
  return x.reshape({rows, -1});
}

Outputs GatherNd(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const at::Tensor index = call.inputs[1].to(x.device(), at::kLong);
  const std::int64_t batch = call.Int("batch_dims", 0);
  const std::int64_t picked = batch + index.size(-1);
  if (batch < 0 || batch >= index.dim() || picked > x.dim())
    ThrowMalformed(call.node, "has indices for more axes than there are");
  std::vector<std::int64_t> shape(index.sizes().begin(), index.sizes().end() - 1);
  shape.insert(shape.end(), x.sizes().begin() + picked, x.sizes().end());
  return {AsRows(x, picked).index_select(0, RowNumbers(x, index, batch)).reshape(shape)};
}

Outputs ScatterNd(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const at::Tensor index = call.inputs[1].to(x.device(), at::kLong);
  const at::Tensor rows = RowNumbers(x, index, 0);
  const at::Tensor matrix = AsRows(x, index.size(-1));
  const at::Tensor updates = call.inputs[2].reshape({rows.numel(), -1});
  const at::Tensor filled = call.Text("reduction", "none") == "add"
                                ? matrix.index_add(0, rows, updates)
                                : matrix.index_copy(0, rows, updates);
  return {filled.reshape(x.sizes())};
}

Outputs ScatterElements(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t axis = call.Int("axis", 0);
  const at::Tensor index = Wrapped(call, 1, x.size(axis));
  if (call.Text("reduction", "none") == "add")
    return {at::scatter_add(x, axis, index, call.inputs[2])};
  return {at::scatter(x, axis, index, call.inputs[2])};
}

std::string RefuseReduction(const Node& node) {
  const auto found = node.attributes.find("reduction");
  if (found == node.attributes.end()) return "";
  const auto* reduction = std::get_if<std::string>(&found->second);
  if (reduction != nullptr && (*reduction == "none" || *reduction == "add")) return "";
  return "a reduction other than 'none' and 'add'";
}

Outputs OneHot(const OpCall& call) {
  const std::int64_t depth = call.inputs[1].item().toLong();
  const at::Tensor index = call.inputs[0].to(at::kLong);
  const at::Tensor values = call.inputs[2];
  const std::int64_t axis = call.Int("axis", -1);
  const at::Tensor wanted = at::where(index < 0, index + depth, index).unsqueeze(-1);
  const at::Tensor hot = wanted == at::arange(depth, wanted.options());
  const at::Tensor picked =
      at::where(hot, values.select(0, 1).to(hot.device()), values.select(0, 0).to(hot.device()));
  const at::Tensor placed = picked.movedim(-1, axis < 0 ? axis + picked.dim() : axis);
  return {placed.is_floating_point() ? placed.to(call.device) : placed};
}

Outputs TopK(const OpCall& call) {
  const std::int64_t k = call.Has(1) ? call.inputs[1].item().toLong() : call.Int("k", 1);
  auto [values, places] = at::topk(call.inputs[0], k, call.Int("axis", -1),
                                   call.Int("largest", 1) != 0, call.Int("sorted", 1) != 0);
  return {values, places};
}

constexpr OpEntry kOps[] = {
    {"Gather", &Gather},
    {"GatherElements", &GatherElements},
    {"GatherND", &GatherNd},
    {"ScatterND", &ScatterNd, &RefuseReduction},
    {"ScatterElements", &ScatterElements, &RefuseReduction},
    {"Scatter", &ScatterElements},
    {"OneHot", &OneHot, nullptr, false},
    {"TopK", &TopK},
};

}  // namespace

std::span<const OpEntry> IndexOps() { return kOps; }

}  // namespace espalier::train
