#include <functional>

#include "train/op_table.h"

namespace espalier::train {
namespace {

using Unary = at::Tensor (*)(const at::Tensor&);
using Binary = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

template <Unary kFunction>
Outputs Map(const OpCall& call) {
  return {kFunction(call.inputs[0])};
}

// Shapes are on the CPU; where one meets values on another device it follows them.
std::pair<at::Tensor, at::Tensor> OnOneDevice(const OpCall& call, std::size_t a, std::size_t b) {
  const at::Tensor& x = call.inputs[a];
  const at::Tensor& y = call.inputs[b];
  if (x.device() == y.device()) return {x, y};
  return {x.to(call.device), y.to(call.device)};
}

template <Binary kFunction>
Outputs Pair(const OpCall& call) {
  const auto [x, y] = OnOneDevice(call, 0, 1);
  return {kFunction(x, y)};
}

at::Tensor Sum2(const at::Tensor& a, const at::Tensor& b) { return at::add(a, b); }
at::Tensor Difference(const at::Tensor& a, const at::Tensor& b) { return at::sub(a, b); }

at::Tensor Quotient(const at::Tensor& a, const at::Tensor& b) {
  return a.is_floating_point() ? at::div(a, b) : at::div(a, b, "trunc");
}

template <Binary kFunction>
Outputs Fold(const OpCall& call) {
  at::Tensor result = call.inputs[0];
  for (std::size_t i = 1; i < call.inputs.size(); ++i) result = kFunction(result, call.inputs[i]);
  return {result};
}

Outputs Mean(const OpCall& call) {
  return {Fold<&Sum2>(call)[0] / static_cast<double>(call.inputs.size())};
}

// A number for the exponent makes squares products: 9 times as fast as the general form.
Outputs Pow(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const at::Tensor& y = call.inputs[1];
  if (y.numel() == 1 && !y.requires_grad() && x.dim() >= y.dim()) return {at::pow(x, y.item())};
  return {at::pow(x, y.to(x.scalar_type()))};
}

Outputs Mod(const OpCall& call) {
  const auto [x, y] = OnOneDevice(call, 0, 1);
  return {call.Int("fmod", 0) != 0 ? at::fmod(x, y) : at::remainder(x, y)};
}

Outputs Where(const OpCall& call) {
  const auto [x, y] = OnOneDevice(call, 1, 2);
  return {at::where(call.inputs[0].to(x.device()), x, y)};
}

// The float types of a file are all the one that the network is trained in.
Outputs Cast(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  switch (call.Int("to", 1)) {  // TensorProto::DataType
    case 1:
    case 10:
    case 11:
    case 16:
      return {x.to(call.device, call.real)};
    case 2:
      return {x.to(at::kByte)};
    case 3:
      return {x.to(at::kChar)};
    case 5:
      return {x.to(at::kShort)};
    case 6:
      return {x.to(at::kInt)};
    case 7:
      return {x.to(at::kLong)};
    default:
      return {x.to(at::kBool)};
  }
}

std::string RefuseCast(const Node& node) {
  const std::int64_t to = IntAttribute(node, "to", 1).value_or(0);
  for (const std::int64_t known : {1, 2, 3, 5, 6, 7, 9, 10, 11, 16}) {
    if (to == known) return "";
  }
  return "a cast to ONNX's type " + std::to_string(to);
}

Outputs CastLike(const OpCall& call) { return {call.inputs[0].to(call.inputs[1])}; }

Outputs Identity(const OpCall& call) { return {call.inputs[0]}; }

Outputs Cumulate(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t axis = call.inputs[1].item().toLong();
  const bool backwards = call.Int("reverse", 0) != 0;
  const at::Tensor seen = backwards ? at::flip(x, axis) : x;
  at::Tensor sum = at::cumsum(seen, axis);
  if (call.Int("exclusive", 0) != 0) sum = sum - seen;
  return {backwards ? at::flip(sum, axis) : sum};
}

constexpr bool kSteps = false;

constexpr OpEntry kOps[] = {
    {"Add", &Pair<&Sum2>},
    {"Sub", &Pair<&Difference>},
    {"Mul", &Pair<at::mul>},
    {"Div", &Pair<&Quotient>},
    {"Pow", &Pow},
    {"Mod", &Mod},
    {"Max", &Fold<at::maximum>},
    {"Min", &Fold<at::minimum>},
    {"Sum", &Fold<&Sum2>},
    {"Mean", &Mean},
    {"Where", &Where},
    {"Identity", &Identity},
    {"Cast", &Cast, &RefuseCast},
    {"CastLike", &CastLike},
    {"CumSum", &Cumulate},
    {"Erf", &Map<at::erf>},
    {"Exp", &Map<at::exp>},
    {"Log", &Map<at::log>},
    {"Sqrt", &Map<at::sqrt>},
    {"Reciprocal", &Map<at::reciprocal>},
    {"Neg", &Map<at::neg>},
    {"Abs", &Map<at::abs>},
    {"Sin", &Map<at::sin>},
    {"Cos", &Map<at::cos>},
    {"Tan", &Map<at::tan>},
    {"Asin", &Map<at::asin>},
    {"Acos", &Map<at::acos>},
    {"Atan", &Map<at::atan>},
    {"Sinh", &Map<at::sinh>},
    {"Cosh", &Map<at::cosh>},
    {"Sign", &Map<at::sign>, nullptr, kSteps},
    {"Floor", &Map<at::floor>, nullptr, kSteps},
    {"Ceil", &Map<at::ceil>, nullptr, kSteps},
    {"Round", &Map<at::round>, nullptr, kSteps},
    {"Not", &Map<at::logical_not>, nullptr, kSteps},
    {"Equal", &Pair<at::eq>, nullptr, kSteps},
    {"Greater", &Pair<at::gt>, nullptr, kSteps},
    {"GreaterOrEqual", &Pair<at::ge>, nullptr, kSteps},
    {"Less", &Pair<at::lt>, nullptr, kSteps},
    {"LessOrEqual", &Pair<at::le>, nullptr, kSteps},
    {"And", &Pair<at::logical_and>, nullptr, kSteps},
    {"Or", &Pair<at::logical_or>, nullptr, kSteps},
    {"Xor", &Pair<at::logical_xor>, nullptr, kSteps},
};

}  // namespace

std::span<const OpEntry> ArithmeticOps() { return kOps; }

}  // namespace espalier::train
