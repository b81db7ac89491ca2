#pragma once

#include <vector>

#include "espalier/graph/coupling.h"
#include "graph/coupling_rules.h"

namespace espalier::coupling {

/// Makes groups of what the walk over the nodes found.
std::vector<CouplingGroup> GroupsOf(const std::vector<Value>& values, Elements* elements);

}  // namespace espalier::coupling
