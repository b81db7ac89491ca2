#include "runtime/layer_weight.h"

#include <fmt/format.h>

#include <cstring>

namespace espalier::runtime {

const Tensor* ConstantFloatInput(const OpBuild& build, std::size_t i) {
  const Tensor* tensor = build.ConstantInput(i);
  const bool held = tensor != nullptr && tensor->dtype() == DType::kFloat32 &&
                    tensor->bytes().size() == static_cast<std::size_t>(tensor->elements()) * 4;
  return held ? tensor : nullptr;
}

LayerWeight::LayerWeight(const Tensor& tensor) : tensor_(tensor) {
  const auto bytes = tensor_.bytes();
  const auto count = static_cast<std::size_t>(tensor_.elements());
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) == 0) {
    values_ = {reinterpret_cast<const float*>(bytes.data()), count};
    return;
  }
  copy_.resize(count);
  std::memcpy(copy_.data(), bytes.data(), bytes.size());
  values_ = copy_;
}

std::string LayerName(const Node& node) {
  return node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
}

void AddBroadcast(const Activation& activation, const Value& residual, Value& y) {
  if (residual.dtype != DType::kFloat32 || residual.rank() > y.rank()) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("a sum of shapes [{}] and [{}]", fmt::join(y.dims, ", "),
                            fmt::join(residual.dims, ", ")));
  }
  const std::size_t lead = y.rank() - residual.rank();
  std::vector<std::size_t> strides(y.rank(), 0);
  std::size_t stride = 1;
  for (std::size_t i = residual.rank(); i-- > 0;) {
    const std::int64_t dim = residual.dims[i];
    if (dim != 1 && dim != y.dims[lead + i]) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a sum of shapes [{}] and [{}]", fmt::join(y.dims, ", "),
                              fmt::join(residual.dims, ", ")));
    }
    if (dim != 1) strides[lead + i] = stride;
    stride *= static_cast<std::size_t>(dim);
  }
  float* const out = y.As<float>();
  const float* const add = residual.As<float>();
  std::vector<std::int64_t> at(y.rank(), 0);
  std::size_t from = 0;
  const std::size_t count = y.Elements();
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = Activate(activation, out[i] + add[from]);
    for (std::size_t d = y.rank(); d-- > 0;) {
      from += strides[d];
      if (++at[d] < y.dims[d]) break;
      from -= strides[d] * static_cast<std::size_t>(y.dims[d]);
      at[d] = 0;
    }
  }
}

}  // namespace espalier::runtime
