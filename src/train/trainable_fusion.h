#pragma once

#include <set>

#include "espalier/graph/graph.h"
#include "train/trainable_program.h"

namespace espalier::train {

/// Runs layer normalizations that an exporter spelled out (mean, difference, square, mean, epsilon,
/// root, quotient, scale, shift) as one step each: nine passes over the values and as many
/// backwards become one, a fifth of a step of vit_mnist.
///
/// Only those over the last axis, in the main graph, whose inner values nobody else reads.
/// @return  The values that no step computes any more.
std::set<int> FuseLayerNorms(const Graph& graph, TrainProgram* program);

}  // namespace espalier::train
