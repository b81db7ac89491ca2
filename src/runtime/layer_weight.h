#pragma once

#include <span>
#include <string>
#include <vector>

#include "espalier/kernels/activation.h"
#include "runtime/op.h"

namespace espalier::runtime {

/// The float32 tensor that input `i` of the node always is; null if it is none.
const Tensor* ConstantFloatInput(const OpBuild& build, std::size_t i);

/// Elements of a constant float32 tensor, copied only if the file left them unaligned.
class LayerWeight {
 public:
  explicit LayerWeight(const Tensor& tensor);
  std::span<const float> values() const { return values_; }

 private:
  Tensor tensor_;  // keeps the bytes
  std::vector<float> copy_;
  std::span<const float> values_;
};

/// The node's name, or that of its first output.
std::string LayerName(const Node& node);

/// y = activation(y + residual) where the residual's shape is not that of y but broadcasts to it.
/// @throws Error  kBadFile if it does not broadcast.
void AddBroadcast(const Activation& activation, const Value& residual, Value& y);

}  // namespace espalier::runtime
