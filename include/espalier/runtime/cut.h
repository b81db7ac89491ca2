#pragma once

#include <string>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier {

/// A network without the operators that the runtime lacks.
struct CutGraph {
  Graph graph;
  /// What was taken out, "Foo 'x'"; empty if the runtime has all operators.
  std::vector<std::string> missing;
  /// Constants that those operators read, by name in the main graph.
  std::vector<std::string> read_constants;
};

/// Takes the operators that the runtime lacks out of the main graph, so that all else can be run:
/// what they compute becomes an input of the network, and what they read, other than constants, an
/// output. Two networks that differ only in other nodes are the same function if these are.
///
/// Left in, so that a session refuses them: operators in branches and loops, and those that have
/// such parts.
/// @throws Error  kUnsupported, naming the operator, if the shape of what it computes is not known.
/// @cost   One shape inference if anything is missing.
CutGraph CutAtMissing(const Graph& graph);

}  // namespace espalier
