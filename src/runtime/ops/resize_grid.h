#pragma once

#include <memory>

#include "runtime/op.h"

namespace espalier::runtime {

std::unique_ptr<Op> MakeGridSample(const OpBuild& build);
std::unique_ptr<Op> MakeAffineGrid(const OpBuild& build);

}  // namespace espalier::runtime
