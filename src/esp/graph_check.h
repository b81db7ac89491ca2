#pragma once

#include <string>

#include "espalier/graph/graph.h"

namespace espalier::internal {

/// Scopes inside each other, the most that a file may have. protobuf stops ONNX files at 33.
constexpr int kMostScopeDepth = 64;

/// What is wrong with a graph's indices, names, shapes or types; empty if code that walks the graph
/// can trust them:
/// - scope 0 is the main graph; the others come after their parents, a function has none;
/// - a node's subgraphs are children of its scope, and no two attributes share one (walks over a
///   graph end in linear time);
/// - names of constants are unique in their scope and no node's output;
/// - shapes have up to 64 dimensions, of -1 (unknown) or more, and those of tensors are known;
/// - tensors have all their bytes, unless they are strings or of unknown type.
std::string GraphProblem(const Graph& graph);

}  // namespace espalier::internal
