#include "tests/train/gradient_case_builder.h"

namespace espalier::train {
namespace {

using L = Dims;

std::vector<GradientCase> ActivationCases() {
  const CaseArg x = X({2, 3, 4}, -3, 3);
  return {
      Case("Relu", "", {x}),
      Case("LeakyRelu", "", {x}, {{"alpha", .3f}}),
      Case("Elu", "", {x}, {{"alpha", .7f}}),
      Case("Selu", "own numbers", {x}, {{"alpha", 1.5f}, {"gamma", .8f}}),
      Case("Celu", "", {x}, {{"alpha", .7f}}),
      Case("ThresholdedRelu", "", {x}, {{"alpha", .5f}}),
      Case("PRelu", "slope a channel", {x, X({3, 1})}),
      Case("PRelu", "one slope", {x, X({1})}),
      Case("PRelu", "slope a column", {x, X({4})}),
      Case("Sigmoid", "", {x}),
      Case("HardSigmoid", "", {x}, {{"alpha", .3f}, {"beta", .4f}}),
      Case("HardSwish", "", {X({2, 3}, -4, 4)}),
      Case("Tanh", "", {x}),
      Case("Softplus", "", {x}),
      Case("Softsign", "", {x}),
      Case("Gelu", "exact", {x}, {}, {.opset = 20, .in_runtime = false}),
      Case("Gelu", "tanh", {x}, {{"approximate", std::string("tanh")}},
           {.opset = 20, .in_runtime = false}),
      Case("Gelu", "contributed", {x}, {}, {.in_runtime = false, .domain = "com.microsoft"}),
      Case("Mish", "", {x}, {}, {.in_runtime = false}),
      Case("Clip", "inputs", {x, Scalar(-.5f), Scalar(1.5f)}),
      Case("Clip", "only below", {x, Scalar(0)}),
      Case("Clip", "only above", {x, None(), Scalar(.5f)}),
      Case("Clip", "attributes", {x}, {{"min", -1.f}, {"max", 2.f}}, {.opset = 6}),
      Case("Softmax", "axis 1", {x}, {{"axis", std::int64_t{1}}}),
      Case("Softmax", "all from axis 1", {x}, {{"axis", std::int64_t{1}}}, {.opset = 11}),
      Case("LogSoftmax", "", {x}),
      Case("LogSoftmax", "all from axis 1", {x}, {}, {.opset = 11}),
      Case("Dropout", "evaluation", {x, Scalar(.4f)}),
      Case("Dropout", "training", {x}, {{"ratio", .4f}}, {.opset = 11, .training = true}),
  };
}

std::vector<GradientCase> UnaryCases() {
  const CaseArg x = X({2, 3});
  const CaseArg positive = X({2, 3}, .3, 2);
  const CaseArg inside = X({2, 3}, -.8, .8);
  return {
      Case("Identity", "", {x}),
      Case("Erf", "", {x}),
      Case("Exp", "", {x}),
      Case("Log", "", {positive}),
      Case("Sqrt", "", {positive}),
      Case("Reciprocal", "", {positive}),
      Case("Neg", "", {x}),
      Case("Abs", "", {x}),
      Case("Sin", "", {x}),
      Case("Cos", "", {x}),
      Case("Tan", "", {inside}),
      Case("Asin", "", {inside}),
      Case("Acos", "", {inside}),
      Case("Atan", "", {x}),
      Case("Sinh", "", {x}),
      Case("Cosh", "", {x}),
      Case("CastLike", "", {x, Scalar(1)}, {}, {.in_runtime = false}),
      Case("Cast", "to float", {x}, {{"to", std::int64_t{1}}}),
      Case("Cast", "to half", {x}, {{"to", std::int64_t{10}}}, {.in_runtime = false}),
      Case("CumSum", "", {x, S(1)}),
      Case("CumSum", "backwards, without itself", {x, S(0)},
           {{"reverse", std::int64_t{1}}, {"exclusive", std::int64_t{1}}}),
  };
}

std::vector<GradientCase> BinaryCases() {
  const CaseArg x = X({2, 3});
  const CaseArg row = X({3});
  return {
      Case("Add", "broadcast", {x, X({4, 1, 1})}),
      Case("Sub", "broadcast", {row, x}),
      Case("Mul", "broadcast", {x, row}),
      Case("Div", "broadcast", {x, X({3}, .5, 2)}),
      Case("Pow", "square", {x, Scalar(2)}),
      Case("Pow", "any exponent", {X({2, 3}, .3, 2), F({2.f, -.5f, 3.f})}),
      Case("Pow", "trained exponent", {X({2, 3}, .3, 2), X({3})}),
      Case("Mod", "fmod", {X({2, 3}, 1, 5), F({2.f, 3.f, 4.f})}, {{"fmod", std::int64_t{1}}}),
      Case("Max", "three", {x, row, X({2, 1})}),
      Case("Min", "two", {x, row}),
      Case("Sum", "three", {x, row, X({2, 1})}),
      Case("Mean", "three", {x, row, X({2, 1})}),
      Case("Where", "broadcast", {Bools({3}, {1, 0, 1}), x, X({2, 1})}),
  };
}

std::vector<GradientCase> ReduceCases() {
  const CaseArg x = X({2, 3, 4}, .3, 2);
  const testing::Attributes drop = {{"keepdims", std::int64_t{0}}};
  return {
      Case("ReduceMean", "input", {x, I({-1})}),
      Case("ReduceMean", "attribute", {x}, {{"axes", L{0, 2}}, {"keepdims", std::int64_t{0}}},
           {.opset = 13}),
      Case("ReduceSum", "all", {x}, drop),
      Case("ReduceSum", "none", {x}, {{"noop_with_empty_axes", std::int64_t{1}}}),
      Case("ReduceMax", "", {x, I({1})}),
      Case("ReduceMin", "", {x, I({0, 1})}, drop),
      Case("ReduceProd", "", {x, I({0, 2})}, drop),
      Case("ReduceL1", "", {X({2, 3}), I({1})}),
      Case("ReduceL2", "", {x, I({1})}),
      Case("ReduceSumSquare", "", {x, I({1})}),
      Case("ReduceLogSum", "", {x, I({1})}),
      Case("ReduceLogSumExp", "", {x, I({1, 2})}, drop),
  };
}

}  // namespace

std::vector<GradientCase> PointwiseCases() {
  std::vector<GradientCase> all;
  for (const auto& part : {ActivationCases(), UnaryCases(), BinaryCases(), ReduceCases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace espalier::train
