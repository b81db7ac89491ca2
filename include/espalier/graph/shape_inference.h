#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/base/weight_view.h"
#include "espalier/graph/graph.h"

namespace espalier {

/// Dimensions of values by name, one map a scope (same indices as Graph::scopes). A value that is
/// missing has unknown rank; a dimension of -1 is unknown.
using ValueShapes = std::vector<std::map<std::string, Dims, std::less<>>>;

/// Infers the shapes of values from constants, declared inputs and the operators' rules, for one
/// sample: an unknown dimension of a graph input counts as 1, as `espalier inspect` says it does.
///
/// Shapes that the file declares are used where a rule is missing or gives less. Small integer
/// tensors are followed by value, so that Shape -> Gather -> Concat -> Reshape chains resolve.
/// Never throws on a malformed graph: what does not fit is left unknown.
/// @cost  One walk over the nodes; tensors over 4096 elements are not folded.
ValueShapes InferShapes(const Graph& graph);

}  // namespace espalier
