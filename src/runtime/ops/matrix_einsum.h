#pragma once

#include <memory>

#include "runtime/op.h"

namespace espalier::runtime {

/// Einsum with any number of operands, repeated letters, "..." and an implicit result.
std::unique_ptr<Op> MakeEinsum(const OpBuild& build);

}  // namespace espalier::runtime
