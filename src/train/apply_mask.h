#pragma once

#include <ATen/core/Tensor.h>

namespace espalier::train {

/// Sets `tensor` to +0 where `mask` is false; in place, without autograd. Unlike a product with the
/// mask it leaves no -0.0 and no NaN there.
/// @param tensor  Floats of any type, layout and device.
/// @param mask    bool, of the same shape and device.
/// @throws c10::Error  if they do not fit.
/// @cost   One pass; contiguous tensors on the CPU at the speed of memory.
void ApplyMask(const at::Tensor& tensor, const at::Tensor& mask);

}  // namespace espalier::train
