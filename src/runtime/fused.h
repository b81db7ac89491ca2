#pragma once

#include <string>

#include "espalier/graph/graph.h"
#include "espalier/kernels/activation.h"

namespace espalier::runtime {

// What the passes fuse into a node. Conv, Gemm and MatMul keep their operator's name and carry the
// activation as attributes; the residual, added before the activation, is the input with index 3.
// A MatMul's bias, a vector along the last axis, is the input with index 2.
inline constexpr const char* kActivationAttribute = "espalier.activation";
inline constexpr const char* kAlphaAttribute = "espalier.alpha";
inline constexpr const char* kBetaAttribute = "espalier.beta";
inline constexpr std::size_t kResidualInput = 3;

/// The activation fused into a node.
Activation FusedActivation(const Node& node);

void SetFusedActivation(Node& node, const Activation& activation);

/// "Conv+Add+Relu".
std::string FusedText(const Node& node);

/// What an activation node computes, if it is one: Relu, HardSwish, Sigmoid, ...
bool ActivationOf(const Node& node, Activation& activation);

}  // namespace espalier::runtime
