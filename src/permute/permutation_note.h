#pragma once

#include <string>

#include "espalier/graph/graph.h"

namespace espalier::internal {

/// @throws Error  kBadFile if the graph has a note of permutations that cannot be read.
void CheckPermutationNote(const Graph& graph);

/// Whether a constant's name is UTF-8 text, as JSON needs.
bool CanBeNoted(const std::string& name);

}  // namespace espalier::internal
