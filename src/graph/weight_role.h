#pragma once

#include <optional>
#include <string>
#include <variant>

#include "espalier/graph/layers.h"
#include "graph/constant_use.h"

namespace espalier {

/// How one node reads a weight.
struct WeightRole {
  LayerKind kind = LayerKind::kLinear;
  bool pointwise = false;
  bool depthwise = false;
  std::string suffix;  ///< ":W" or ":R" where a node has two weights.
  WeightView view;
  // Inputs of the node with the scale and the zero point of an integer weight; -1 if it has none.
  int scale_input = -1;
  int zero_point_input = -1;
};

/// Whether input `input` of `node` is a weight, whatever its shape.
bool IsWeightInput(const Node& node, int input);

/// Whether that weight is the left operand of a matrix product, where activations are usual.
bool IsLeftOperand(const Node& node, int input);

/// The role that input `use.input` of `use.node` plays.
/// @return  Nothing if it is not a weight (bias, activation, another operator); a sentence if it is
///          one that cannot be pruned.
std::optional<std::variant<WeightRole, std::string>> RoleOf(const ConstantUse& use);

}  // namespace espalier
