#pragma once

#include <ATen/ATen.h>

namespace espalier::train {

/// Batch normalization with ONNX's meaning of the running statistics: population mean and variance.
/// @param keep  Share of the old running statistics that stays, ONNX's momentum.
/// In training it normalises with the batch's own statistics and moves `mean` and `variance`.
at::Tensor BatchNorm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                     at::Tensor mean, at::Tensor variance, double epsilon, double keep,
                     bool training);

}  // namespace espalier::train
