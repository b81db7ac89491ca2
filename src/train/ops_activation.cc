#include <ATen/WrapDimUtils.h>

#include <limits>

#include "train/op_table.h"

namespace espalier::train {
namespace {

using Unary = at::Tensor (*)(const at::Tensor&);

template <Unary kFunction>
Outputs Map(const OpCall& call) {
  return {kFunction(call.inputs[0])};
}

Outputs LeakyRelu(const OpCall& call) {
  return {at::leaky_relu(call.inputs[0], call.Float("alpha", 0.01))};
}

// torch's three numbers: alpha, scale and the factor inside the exponential.
Outputs Elu(const OpCall& call) { return {at::elu(call.inputs[0], call.Float("alpha", 1))}; }

Outputs Selu(const OpCall& call) {
  return {at::elu(call.inputs[0], call.Float("alpha", 1.67326319217681884765625),
                  call.Float("gamma", 1.05070102214813232421875))};
}

Outputs Celu(const OpCall& call) { return {at::celu(call.inputs[0], call.Float("alpha", 1))}; }

Outputs ThresholdedRelu(const OpCall& call) {
  return {at::threshold(call.inputs[0], call.Float("alpha", 1), 0)};
}

Outputs Sigmoid(const OpCall& call) { return {at::sigmoid(call.inputs[0])}; }

// hardtanh's backward is 2.6 times as fast as clamp's.
Outputs HardSigmoid(const OpCall& call) {
  const at::Tensor line = call.inputs[0] * call.Float("alpha", 0.2f) + call.Float("beta", 0.5f);
  return {at::hardtanh(line, 0, 1)};
}

Outputs Softplus(const OpCall& call) { return {at::softplus(call.inputs[0])}; }

Outputs Softsign(const OpCall& call) { return {call.inputs[0] / (at::abs(call.inputs[0]) + 1)}; }

Outputs Gelu(const OpCall& call) {
  return {at::gelu(call.inputs[0], call.Text("approximate", "none"))};
}

double BoundOf(const OpCall& call, std::size_t index, const char* attribute, double fallback) {
  if (call.Has(index)) return call.inputs[index].item().toDouble();
  return call.Float(attribute, fallback);
}

Outputs Clip(const OpCall& call) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const at::Tensor& x = call.inputs[0];
  if (!x.is_floating_point()) return {at::clamp(x, call.In(1), call.In(2))};
  const double low = BoundOf(call, 1, "min", -kInfinity);
  const double high = BoundOf(call, 2, "max", kInfinity);
  if (low == 0 && high == kInfinity) return {at::relu(x)};
  return {at::hardtanh(x, low, high)};
}

// The slope's axes line up with the last ones of x, as ONNX broadcasts; torch wants a vector.
Outputs PRelu(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const at::Tensor& slope = call.inputs[1];
  const std::int64_t channel_axis = slope.dim() - (x.dim() - 1);
  const bool per_channel = x.dim() >= 2 && channel_axis >= 0 && channel_axis < slope.dim() &&
                           slope.numel() == slope.size(channel_axis) && slope.numel() == x.size(1);
  if (per_channel || slope.numel() == 1) return {at::prelu(x, slope.reshape({-1}))};
  return {at::relu(x) - slope * at::relu(-x)};
}

Outputs Softmax(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  if (call.opset >= 13) return {at::softmax(x, call.Int("axis", -1))};
  // Before opset 13 all axes from `axis` on are one.
  const std::int64_t axis = at::maybe_wrap_dim(call.Int("axis", 1), x.dim());
  if (axis == x.dim() - 1) return {at::softmax(x, axis)};
  return {at::softmax(at::flatten(x, axis), axis).reshape(x.sizes())};
}

Outputs LogSoftmax(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  if (call.opset >= 13) return {at::log_softmax(x, call.Int("axis", -1))};
  const std::int64_t axis = at::maybe_wrap_dim(call.Int("axis", 1), x.dim());
  return {at::log_softmax(at::flatten(x, axis), axis).reshape(x.sizes())};
}

Outputs Dropout(const OpCall& call) {
  const double ratio = BoundOf(call, 1, "ratio", 0.5);
  const at::Tensor& x = call.inputs[0];
  if (!call.training || ratio == 0) return {x, at::ones_like(x, at::kBool)};
  const at::Tensor keep = at::empty_like(x).bernoulli_(1 - ratio);
  return {x * keep / (1 - ratio), keep.to(at::kBool)};
}

constexpr OpEntry kOps[] = {
    {"Relu", &Map<at::relu>},
    {"LeakyRelu", &LeakyRelu},
    {"Elu", &Elu},
    {"Selu", &Selu},
    {"Celu", &Celu},
    {"ThresholdedRelu", &ThresholdedRelu},
    {"PRelu", &PRelu},
    {"Sigmoid", &Sigmoid},
    {"HardSigmoid", &HardSigmoid},
    {"HardSwish", &Map<at::hardswish>},
    {"Tanh", &Map<at::tanh>},
    {"Softplus", &Softplus},
    {"Softsign", &Softsign},
    {"Gelu", &Gelu},
    {"Gelu", &Gelu, nullptr, true, "com.microsoft"},
    {"Mish", &Map<at::mish>},
    {"Clip", &Clip},
    {"Softmax", &Softmax},
    {"LogSoftmax", &LogSoftmax},
    {"Dropout", &Dropout},
};

}  // namespace

std::span<const OpEntry> ActivationOps() { return kOps; }

}  // namespace espalier::train
