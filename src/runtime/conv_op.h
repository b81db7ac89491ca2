#pragma once

#include <memory>

#include "runtime/environment.h"
#include "runtime/op.h"

namespace espalier::runtime {

/// Conv in one or two dimensions with a constant float32 weight: depthwise kernels, or one packed
/// product a group. Null for any other node.
std::unique_ptr<Op> MakePackedConv(const OpBuild& build, const Environment& environment);

/// MatMul, or Gemm without alpha, beta and transA, with a constant float32 matrix on the right.
/// Null for any other node.
std::unique_ptr<Op> MakePackedLinear(const OpBuild& build, const Environment& environment);

}  // namespace espalier::runtime
