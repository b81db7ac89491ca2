#pragma once

#include <fmt/format.h>

#include <type_traits>

#include "espalier/kernels/rows.h"
#include "runtime/op.h"

namespace espalier::runtime {

/// Calls body(T{}) with the C++ type for the number types of MatMul and Gemm. Signed integers come
/// as unsigned ones: sums and products are the same bits, and may wrap around.
/// @throws Error  kBadFile for other types.
template <typename Body>
void WithProductType(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kFloat32:
      return body(float{});
    case DType::kFloat64:
      return body(double{});
    case DType::kInt32:
    case DType::kUint32:
      return body(std::uint32_t{});
    case DType::kInt64:
    case DType::kUint64:
      return body(std::uint64_t{});
    default:
      throw Error(ErrorCode::kBadFile, fmt::format("a matrix product of {}", DTypeName(dtype)));
  }
}

/// y = activation(y + residual); `residual` may be null.
template <typename T>
void FinishProduct(const Activation& activation, const T* residual, T* y, std::size_t count) {
  if constexpr (std::is_same_v<T, float>) {
    ActivateRow(activation, residual, y, count);
  } else {
    if (residual == nullptr && activation.kind == ActivationKind::kNone) return;
    for (std::size_t i = 0; i < count; ++i) {
      const T sum = residual == nullptr ? y[i] : static_cast<T>(y[i] + residual[i]);
      y[i] = activation.kind == ActivationKind::kNone
                 ? sum
                 : static_cast<T>(Activate(activation, static_cast<float>(sum)));
    }
  }
}

}  // namespace espalier::runtime
