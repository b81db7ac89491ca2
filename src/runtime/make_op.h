#pragma once

#include <memory>

#include "runtime/op.h"
#include "runtime/program.h"

namespace espalier::runtime {

/// The operator that runs a node: one of our own kernels where there is one for it, else the
/// general one of the table.
/// @throws Error  kUnsupported, naming the operator, if there is neither.
std::unique_ptr<Op> MakeOp(const OpBuild& build, const Environment& environment);

}  // namespace espalier::runtime
