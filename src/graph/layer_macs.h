#pragma once

#include <optional>

#include "espalier/graph/graph.h"
#include "espalier/graph/shape_inference.h"

namespace espalier {

/// Multiply-accumulates of one node with one of its weights, for one sample.
/// @return  Nothing if a shape that it needs is not known.
std::optional<std::int64_t> LayerMacs(const Graph& graph, const ValueShapes& shapes, int scope,
                                      const Node& node, const WeightView& view);

}  // namespace espalier
