#include <algorithm>

#include "train/op_table.h"
#include "train/tensor_convert.h"

namespace espalier::train {
namespace {

at::Tensor IntVector(at::IntArrayRef values) {
  at::Tensor vector = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), vector.data_ptr<std::int64_t>());
  return vector;
}

Outputs Shape(const OpCall& call) {
  const at::IntArrayRef dims = call.inputs[0].sizes();
  const auto rank = static_cast<std::int64_t>(dims.size());
  const auto clamped = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const std::int64_t begin = clamped(call.Int("start", 0));
  const std::int64_t end = std::max(begin, clamped(call.Int("end", rank)));
  return {IntVector(
      dims.slice(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)))};
}

Outputs Size(const OpCall& call) { return {at::scalar_tensor(call.inputs[0].numel(), at::kLong)}; }

Outputs ConstantOfShape(const OpCall& call) {
  const std::vector<std::int64_t> shape = IntsOf(call.inputs[0]);
  const auto found = call.node.attributes.find("value");
  const auto* value =
      found == call.node.attributes.end() ? nullptr : std::get_if<Tensor>(&found->second);
  const auto real = at::TensorOptions(call.real).device(call.device);
  if (value == nullptr) return {at::zeros(shape, real)};
  const at::Tensor one = ToTorch(*value);
  return {at::full(shape, one.item(),
                   one.is_floating_point() ? real : at::TensorOptions(one.scalar_type()))};
}

Outputs Range(const OpCall& call) {
  const at::Tensor& start = call.inputs[0];
  return {at::arange(start.item(), call.inputs[1].item(), call.inputs[2].item(), start.options())};
}

constexpr OpEntry kOps[] = {
    {"Shape", &Shape, nullptr, false},
    {"Size", &Size, nullptr, false},
    {"ConstantOfShape", &ConstantOfShape, nullptr, false},
    {"Range", &Range, nullptr, false},
};

}  // namespace

std::span<const OpEntry> ShapeOps() { return kOps; }

}  // namespace espalier::train
