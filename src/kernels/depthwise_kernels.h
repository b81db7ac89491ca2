#pragma once

#include "espalier/kernels/depthwise.h"

namespace espalier {

// The arguments of DepthwiseConv; ranges are not empty.
struct DepthwiseCall {
  const DepthwiseShape& shape;
  const DepthwiseWeights& weights;
  const DepthwiseInput& input;
  const DepthwiseOutput& output;
  const DepthwiseRange& range;
};

// 3x3 and 5x5 kernels of stride 1 and 2. False if it is none, or if the ISA has no such code: then
// nothing is done.
bool DepthwiseDirect(const DepthwiseCall& call) noexcept;

// Any kernel, from a copy of the input rows.
void DepthwisePacked(const DepthwiseCall& call) noexcept;

}  // namespace espalier
