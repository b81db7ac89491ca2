#pragma once

#include <string>
#include <unordered_map>

#include "espalier/graph/graph.h"
#include "graph/value_fact.h"

namespace espalier {

/// What is known of each value of the main graph, constants among them; without those of which
/// nothing is known.
using MainFacts = std::unordered_map<std::string, shapes::ValueFact>;

/// As InferShapes(), with the elements of small integer tensors, but from the rules alone: what the
/// file says of the values between the nodes may be out of date.
/// @param unknown  What the unknown dimensions of graph inputs count as: one entry an axis. An axis
///                 without an entry stays unknown.
MainFacts InferMainFacts(const Graph& graph, const Dims& unknown);

}  // namespace espalier
