#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "espalier/base/weight_view.h"
#include "espalier/pattern/pattern.h"

namespace espalier::train {

/// The first weight that `mask` drops and that is not +0 bit for bit, with its index; empty if
/// none.
std::string NonzeroDropped(const at::Tensor& weight, const at::Tensor& mask);

/// How a masked weight breaks `pattern`: a group with too many nonzeros, or a unit of a ranked
/// pattern that the mask drops in part. Empty if it does not.
/// @param view  Of the contiguous weight.
std::string PatternBreach(const at::Tensor& weight, const at::Tensor& mask, const WeightView& view,
                          const Pattern& pattern);

}  // namespace espalier::train
