#pragma once

#include <memory>

#include "runtime/op.h"
#include "runtime/program.h"

namespace espalier::runtime {

/// If, Loop or Scan: the node's subgraphs run as programs of their own.
/// @throws Error  kUnsupported for an operator inside that the runtime lacks, and for Scan of
///                opset 8; kBadFile if a subgraph is missing.
std::unique_ptr<Op> MakeControl(const OpBuild& build, const Environment& environment);

}  // namespace espalier::runtime
