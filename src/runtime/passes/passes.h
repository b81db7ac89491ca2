#pragma once

#include "espalier/graph/graph.h"

namespace espalier::runtime {

/// Makes a graph quicker to run without changing what it computes, beyond float rounding: all the
/// passes below, until none finds anything.
Graph Simplify(Graph graph);

// The passes, for one scope each. They return whether they changed anything.

/// Nodes that nobody reads, and constants likewise.
bool RemoveUnused(Graph& graph, int scope);
/// Identity and inference-time Dropout.
bool RemoveIdentities(Graph& graph, int scope);
/// Nodes whose inputs are all constants become constants.
bool FoldConstants(Graph& graph, int scope);
/// BatchNormalization and per-channel Mul, Div, Add, Sub with constants, behind a Conv,
/// ConvTranspose, Gemm or MatMul with constant weights, go into its weights and bias.
bool FoldAffine(Graph& graph, int scope);
/// An Add of a layer's output and another value of the same shape becomes the layer's residual.
bool FuseResiduals(Graph& graph, int scope);
/// An activation that alone reads a layer's output, also one written out in several nodes
/// (x * clip(x + 3, 0, 6) / 6, x * sigmoid(x)).
bool FuseActivations(Graph& graph, int scope);

}  // namespace espalier::runtime
