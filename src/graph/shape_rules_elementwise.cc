#include "graph/shape_rules.h"

namespace espalier::shapes {
namespace {

std::vector<Shape> SameAsFirst(const NodeView& view) { return {view.InputDims(0)}; }

// Dropout and friends: the second output is a mask of the input's shape.
std::vector<Shape> SameTwice(const NodeView& view) {
  return {view.InputDims(0), view.InputDims(0)};
}

std::vector<Shape> BroadcastInputs(const NodeView& view) {
  // Before opset 7 `broadcast` meant: the second input is stretched to the first one's shape.
  if (view.HasAttribute("broadcast")) return SameAsFirst(view);
  Shape out = view.InputDims(0);
  for (std::size_t i = 1; i < view.InputCount() && out; ++i) {
    const Shape& next = view.InputDims(i);
    out = next ? Broadcast(*out, *next) : std::nullopt;
  }
  return {out};
}

// Quantized forms have a scale and a zero point after each operand.
std::vector<Shape> QLinearBinary(const NodeView& view) {
  const Shape& a = view.InputDims(0);
  const Shape& b = view.InputDims(3);
  if (!a || !b) return {};
  return {Broadcast(*a, *b)};
}

// Outputs after the first are running statistics, one a channel.
std::vector<Shape> BatchNormalization(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  std::vector<Shape> out(view.OutputCount(), view.InputDims(1));
  if (!out.empty()) out[0] = input;
  return out;
}

std::vector<Shape> LayerNormalization(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input) return {};
  const auto axis = view.Int("axis", -1);
  const auto first = axis ? AxisIndex(*axis, input->size()) : std::nullopt;
  if (!first) return {input};
  Dims statistics = *input;
  for (std::size_t i = *first; i < statistics.size(); ++i) statistics[i] = 1;
  return {input, statistics, statistics};
}

std::vector<Shape> DynamicQuantizeLinear(const NodeView& view) {
  return {view.InputDims(0), Dims(), Dims()};
}

constexpr std::string_view kUnary[] = {"Abs",
                                       "Acos",
                                       "Acosh",
                                       "Asin",
                                       "Asinh",
                                       "Atan",
                                       "Atanh",
                                       "Bernoulli",
                                       "BitwiseNot",
                                       "Cast",
                                       "CastLike",
                                       "Ceil",
                                       "Celu",
                                       "Clip",
                                       "Cos",
                                       "Cosh",
                                       "CumSum",
                                       "DequantizeLinear",
                                       "Elu",
                                       "Erf",
                                       "Exp",
                                       "EyeLike",
                                       "Floor",
                                       "Gelu",
                                       "GroupNormalization",
                                       "HardSigmoid",
                                       "HardSwish",
                                       "Hardmax",
                                       "Identity",
                                       "InstanceNormalization",
                                       "IsInf",
                                       "IsNaN",
                                       "LRN",
                                       "LeakyRelu",
                                       "Log",
                                       "LogSoftmax",
                                       "LpNormalization",
                                       "MeanVarianceNormalization",
                                       "Mish",
                                       "Neg",
                                       "Not",
                                       "PRelu",
                                       "QuantizeLinear",
                                       "RandomNormalLike",
                                       "RandomUniformLike",
                                       "Reciprocal",
                                       "Relu",
                                       "ReverseSequence",
                                       "Round",
                                       "Scatter",
                                       "ScatterElements",
                                       "ScatterND",
                                       "Selu",
                                       "Shrink",
                                       "Sigmoid",
                                       "Sign",
                                       "Sin",
                                       "Sinh",
                                       "Softmax",
                                       "Softplus",
                                       "Softsign",
                                       "Sqrt",
                                       "Swish",
                                       "Tan",
                                       "Tanh",
                                       "ThresholdedRelu",
                                       "Trilu"};

constexpr std::string_view kBinary[] = {
    "Add",        "And",         "BitShift", "BitwiseAnd", "BitwiseOr",
    "BitwiseXor", "Div",         "Equal",    "Greater",    "GreaterOrEqual",
    "Less",       "LessOrEqual", "Max",      "Mean",       "Min",
    "Mod",        "Mul",         "Or",       "Pow",        "Sub",
    "Sum",        "Where",       "Xor"};

constexpr std::string_view kContribUnary[] = {"BiasGelu",
                                              "DequantizeLinear",
                                              "FastGelu",
                                              "Gelu",
                                              "QLinearLeakyRelu",
                                              "QLinearSigmoid",
                                              "QLinearSoftmax",
                                              "QuantizeLinear",
                                              "QuickGelu",
                                              "SkipLayerNormalization",
                                              "SkipSimplifiedLayerNormalization"};

constexpr RuleEntry kOthers[] = {
    {"", "BatchNormalization", &BatchNormalization},
    {"", "Dropout", &SameTwice},
    {"", "DynamicQuantizeLinear", &DynamicQuantizeLinear},
    {"", "LayerNormalization", &LayerNormalization},
    {"", "RMSNormalization", &SameAsFirst},
    {"", "SimplifiedLayerNormalization", &LayerNormalization},
    {"com.microsoft", "QLinearAdd", &QLinearBinary},
    {"com.microsoft", "QLinearMul", &QLinearBinary},
};

std::vector<RuleEntry> MakeRules() {
  std::vector<RuleEntry> rules(std::begin(kOthers), std::end(kOthers));
  for (const std::string_view op : kUnary) rules.push_back({"", op, &SameAsFirst});
  for (const std::string_view op : kBinary) rules.push_back({"", op, &BroadcastInputs});
  for (const std::string_view op : kContribUnary) {
    rules.push_back({"com.microsoft", op, &SameAsFirst});
  }
  return rules;
}

}  // namespace

std::span<const RuleEntry> ElementwiseRules() {
  static const std::vector<RuleEntry> rules = MakeRules();
  return rules;
}

}  // namespace espalier::shapes
