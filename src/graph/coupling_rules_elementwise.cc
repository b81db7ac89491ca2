#include <numeric>

#include "graph/coupling_rules.h"

namespace espalier::coupling {
namespace {

// Inputs behind the first are single numbers; if not, all is held.
void Unary(NodeTies& ties) { JoinBroadcast(ties, {0}); }

void Nary(NodeTies& ties) {
  // Before opset 7: other broadcasting.
  if (ties.view().HasAttribute("broadcast") || ties.view().HasAttribute("axis")) return;
  std::vector<std::size_t> inputs(ties.view().InputCount());
  std::iota(inputs.begin(), inputs.end(), std::size_t{0});
  JoinBroadcast(ties, inputs);
}

// The second input only tells the type.
void CastLike(NodeTies& ties) {
  ties.Ignore(1);
  Unary(ties);
}

// The mask is random; only training makes it.
void Dropout(NodeTies& ties) {
  Unary(ties);
  if (ties.HasOutput(1)) JoinBroadcast(ties, {0}, 1);
}

// One scale and zero point for all elements, or one for each index of an axis.
void Quantize(NodeTies& ties) {
  const auto& view = ties.view();
  const Dims* in = ties.In(0);
  const Dims* scale = ties.In(1);
  const auto given = view.Int("axis", 1);
  if (in == nullptr || scale == nullptr || !given || view.Int("block_size", 0) != 0) return;
  const auto axis = shapes::AxisIndex(*given, in->size());
  Product product{{{0, Counted(in->size()), true}}, Counted(in->size()), 0, false};
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
    const Dims* dims = ties.In(i);
    if (!view.HasInput(i)) continue;
    if (dims == nullptr || dims->size() > 1) return;
    if (dims->empty() || dims->front() == 1) continue;
    if (!axis) return;
    product.inputs.push_back({i, {static_cast<int>(*axis)}});
  }
  ties.Join(product);
}

// Inputs: a, its scale and zero point, b and those of b, those of the output; single numbers.
void QLinearBinary(NodeTies& ties) { JoinBroadcast(ties, {0, 3}); }

// One scale and zero point from the smallest and the largest of all elements.
void DynamicQuantize(NodeTies& ties) {
  Unary(ties);
  ties.Constant(1);
  ties.Constant(2);
}

constexpr std::string_view kUnary[] = {
    "Abs",       "Acos",     "Acosh",      "Asin",     "Asinh",
    "Atan",      "Atanh",    "BitwiseNot", "Cast",     "Ceil",
    "Celu",      "Clip",     "Cos",        "Cosh",     "Elu",
    "Erf",       "Exp",      "Floor",      "Gelu",     "HardSigmoid",
    "HardSwish", "Identity", "IsInf",      "IsNaN",    "LeakyRelu",
    "Log",       "Mish",     "Neg",        "Not",      "Reciprocal",
    "Relu",      "Round",    "Selu",       "Shrink",   "Sigmoid",
    "Sign",      "Sin",      "Sinh",       "Softplus", "Softsign",
    "Sqrt",      "Swish",    "Tan",        "Tanh",     "ThresholdedRelu"};

constexpr std::string_view kNary[] = {
    "Add",        "And",         "BitShift", "BitwiseAnd", "BitwiseOr",
    "BitwiseXor", "Div",         "Equal",    "Greater",    "GreaterOrEqual",
    "Less",       "LessOrEqual", "Max",      "Mean",       "Min",
    "Mul",        "Or",          "PRelu",    "Pow",        "Sub",
    "Sum",        "Where",       "Xor"};

// Mod has an attribute fmod; nothing else of it tells elements apart.
constexpr RuleEntry kOthers[] = {
    {"", "CastLike", &CastLike},
    {"", "DequantizeLinear", &Quantize},
    {"", "Dropout", &Dropout},
    {"", "DynamicQuantizeLinear", &DynamicQuantize},
    {"", "Mod", &Nary},
    {"", "QuantizeLinear", &Quantize},
    {"com.microsoft", "BiasGelu", &Nary},
    {"com.microsoft", "DequantizeLinear", &Quantize},
    {"com.microsoft", "FastGelu", &Nary},
    {"com.microsoft", "Gelu", &Unary},
    {"com.microsoft", "QLinearAdd", &QLinearBinary},
    {"com.microsoft", "QLinearLeakyRelu", &Unary},
    {"com.microsoft", "QLinearMul", &QLinearBinary},
    {"com.microsoft", "QLinearSigmoid", &Unary},
    {"com.microsoft", "QuantizeLinear", &Quantize},
    {"com.microsoft", "QuickGelu", &Unary},
};

std::vector<RuleEntry> MakeRules() {
  std::vector<RuleEntry> rules(std::begin(kOthers), std::end(kOthers));
  for (const std::string_view op : kUnary) rules.push_back({"", op, &Unary});
  for (const std::string_view op : kNary) rules.push_back({"", op, &Nary});
  return rules;
}

}  // namespace

std::span<const RuleEntry> ElementwiseRules() {
  static const std::vector<RuleEntry> rules = MakeRules();
  return rules;
}

}  // namespace espalier::coupling
