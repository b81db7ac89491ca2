#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "espalier/graph/tensor.h"

namespace espalier::train {

/// libtorch's type for a stored one; nothing for those that it does not have.
std::optional<at::ScalarType> TorchType(DType dtype);

/// A copy on the CPU, of the stored type.
/// @throws Error  kUnsupported for a type that libtorch does not have.
at::Tensor ToTorch(const Tensor& tensor);

/// A copy of the stored type, rounded if it is narrower than `tensor`.
/// @throws Error  kUnsupported for a type that libtorch does not have.
Tensor FromTorch(const at::Tensor& tensor, DType dtype);

/// `old` with the elements that differ from `now` once `old` has the type of `now`; so a float64
/// constant that training in float32 left alone keeps its bytes.
Tensor WithChanges(const Tensor& old, const at::Tensor& now);

/// Whether two tensors have the same type, dimensions and bytes.
bool SameBytes(const Tensor& a, const Tensor& b);

}  // namespace espalier::train
