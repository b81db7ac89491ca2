#pragma once

#include "espalier/graph/graph.h"

namespace espalier::runtime {

/// What passes and programs take for granted: scope 0 is the graph; a subgraph belongs to one
/// attribute of one node of its parent scope, which comes before it; constants lie in a scope and
/// hold their bytes; a scope makes each value once.
/// @throws Error  kBadFile, with what is wrong.
void CheckGraph(const Graph& graph);

}  // namespace espalier::runtime
