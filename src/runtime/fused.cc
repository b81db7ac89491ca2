#include "runtime/fused.h"

#include <array>
#include <string_view>

namespace espalier::runtime {
namespace {

// By ActivationKind.
constexpr std::array<std::string_view, 9> kNames = {
    "", "Relu", "Clip", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "SiLU", "Tanh"};

float FloatOr(const Node& node, const char* name, float fallback) {
  const auto it = node.attributes.find(name);
  const float* value = it == node.attributes.end() ? nullptr : std::get_if<float>(&it->second);
  return value == nullptr ? fallback : *value;
}

}  // namespace

Activation FusedActivation(const Node& node) {
  Activation activation;
  const auto kind = IntAttribute(node, kActivationAttribute, 0).value_or(0);
  if (kind <= 0 || kind >= static_cast<std::int64_t>(kNames.size())) return activation;
  activation.kind = static_cast<ActivationKind>(kind);
  activation.alpha = FloatOr(node, kAlphaAttribute, 0);
  activation.beta = FloatOr(node, kBetaAttribute, 0);
  return activation;
}

void SetFusedActivation(Node& node, const Activation& activation) {
  node.attributes[kActivationAttribute] = static_cast<std::int64_t>(activation.kind);
  node.attributes[kAlphaAttribute] = activation.alpha;
  node.attributes[kBetaAttribute] = activation.beta;
}

std::string FusedText(const Node& node) {
  std::string text = node.op_type;
  if (node.inputs.size() > kResidualInput &&
      (node.op_type == "Conv" || node.op_type == "Gemm" || node.op_type == "MatMul")) {
    text += "+Add";
  }
  const Activation activation = FusedActivation(node);
  if (activation.kind != ActivationKind::kNone) {
    text += '+';
    text += kNames[static_cast<std::size_t>(activation.kind)];
  }
  return text;
}

bool ActivationOf(const Node& node, Activation& activation) {
  if (!node.domain.empty() || node.outputs.size() != 1) return false;
  using Kind = ActivationKind;
  if (node.op_type == "Relu") {
    activation = {Kind::kRelu, 0, 0};
  } else if (node.op_type == "LeakyRelu") {
    activation = {Kind::kLeakyRelu, FloatOr(node, "alpha", 0.01f), 0};
  } else if (node.op_type == "HardSigmoid") {
    activation = {Kind::kHardSigmoid, FloatOr(node, "alpha", 0.2f), FloatOr(node, "beta", 0.5f)};
  } else if (node.op_type == "HardSwish") {
    activation = {Kind::kHardSwish, 1.0f / 6, 0.5f};
  } else if (node.op_type == "Sigmoid") {
    activation = {Kind::kSigmoid, 0, 0};
  } else if (node.op_type == "Tanh") {
    activation = {Kind::kTanh, 0, 0};
  } else {
    return false;
  }
  return true;
}

}  // namespace espalier::runtime
