#include "runtime/passes/passes.h"

#include "runtime/fused.h"
#include "tests/runtime/runtime_testing.h"

namespace espalier::runtime {
namespace {

using testing::ExpectSameFunction;
using testing::FloatVector;
using testing::GraphBuilder;
using testing::RandomTensor;
using testing::Tensors;

const testing::Attributes kSamePads = {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}};

Tensor Scalar(float value) { return testing::TensorOf(DType::kFloat32, {}, std::vector{value}); }

std::vector<std::string> OpsOf(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Node& node : graph.scopes[0].nodes) ops.push_back(FusedText(node));
  return ops;
}

// x [1, 3, 6, 7] -> Conv 3x3 to 8 channels, "y".
GraphBuilder OneConv() {
  GraphBuilder builder;
  builder.Input("x", Dims{1, 3, 6, 7})
      .Constant("w", RandomTensor({8, 3, 3, 3}, 1))
      .Constant("b", RandomTensor({8}, 2))
      .Add("Conv", {"x", "w", "b"}, {"y"}, kSamePads);
  return builder;
}

const Tensors kImage = {{"x", RandomTensor({1, 3, 6, 7}, 3)}};

void ExpectOps(const GraphBuilder& builder, std::vector<std::string> ops) {
  Graph graph = const_cast<GraphBuilder&>(builder).graph();
  EXPECT_EQ(OpsOf(Simplify(graph)), ops);
  ExpectSameFunction(graph, kImage);
}

TEST(Passes, FoldsBatchNormalization) {
  GraphBuilder builder = OneConv();
  builder.Constant("scale", RandomTensor({8}, 4))
      .Constant("shift", RandomTensor({8}, 5))
      .Constant("mean", RandomTensor({8}, 6))
      .Constant("variance", FloatVector({1, 2, 0.5f, 0.1f, 3, 1, 1, 0.2f}))
      .Add("BatchNormalization", {"y", "scale", "shift", "mean", "variance"}, {"z"})
      .Add("Relu", {"z"}, {"out"})
      .Output("out");
  ExpectOps(builder, {"Conv+Relu"});
}

TEST(Passes, FoldsScalesAndShiftsByChannel) {
  GraphBuilder builder = OneConv();
  builder.Constant("s", RandomTensor({8, 1, 1}, 4))
      .Constant("t", RandomTensor({1, 8, 1, 1}, 5))
      .Constant("two", Scalar(2))
      .Add("Mul", {"y", "s"}, {"a"})
      .Add("Sub", {"t", "a"}, {"c"})
      .Add("Div", {"c", "two"}, {"out"})
      .Output("out");
  ExpectOps(builder, {"Conv"});
}

TEST(Passes, FoldsIntoTransposedConvolutionsOfSeveralGroups) {
  GraphBuilder builder;
  builder.Input("x", Dims{1, 4, 3, 3})
      .Constant("w", RandomTensor({4, 3, 2, 2}, 1))
      .Constant("s", RandomTensor({6, 1, 1}, 4))
      .Add("ConvTranspose", {"x", "w"}, {"y"}, {{"group", std::int64_t{2}}})
      .Add("Mul", {"y", "s"}, {"out"})
      .Output("out");
  EXPECT_EQ(OpsOf(Simplify(builder.graph())), (std::vector<std::string>{"ConvTranspose"}));
  ExpectSameFunction(builder.graph(), {{"x", RandomTensor({1, 4, 3, 3}, 3)}});
}

// A scale along the rows, or a value that somebody else reads, has to stay.
TEST(Passes, LeavesWhatIsNotByChannel) {
  GraphBuilder by_row = OneConv();
  by_row.Constant("s", RandomTensor({6, 1}, 4)).Add("Mul", {"y", "s"}, {"out"}).Output("out");
  ExpectOps(by_row, {"Conv", "Mul"});
  GraphBuilder shared = OneConv();
  shared.Constant("s", RandomTensor({8, 1, 1}, 4))
      .Add("Mul", {"y", "s"}, {"out"})
      .Output("out")
      .Output("y");
  ExpectOps(shared, {"Conv", "Mul"});
}

TEST(Passes, FusesWrittenOutActivations) {
  GraphBuilder swish = OneConv();
  swish.Constant("three", Scalar(3))
      .Constant("zero", Scalar(0))
      .Constant("six", Scalar(6))
      .Add("Add", {"y", "three"}, {"a"})
      .Add("Clip", {"a", "zero", "six"}, {"c"})
      .Add("Mul", {"y", "c"}, {"m"})
      .Add("Div", {"m", "six"}, {"out"})
      .Output("out");
  ExpectOps(swish, {"Conv+HardSwish"});
  GraphBuilder silu = OneConv();
  silu.Add("Sigmoid", {"y"}, {"s"}).Add("Mul", {"s", "y"}, {"out"}).Output("out");
  ExpectOps(silu, {"Conv+SiLU"});
  GraphBuilder clip = OneConv();
  clip.Constant("low", Scalar(-0.25f)).Add("Clip", {"y", "low"}, {"out"}).Output("out");
  ExpectOps(clip, {"Conv+Clip"});
}

// x * clip(x + 3, 0, 6) / 5 is no HardSwish.
TEST(Passes, LeavesWhatOnlyLooksLikeHardSwish) {
  GraphBuilder builder = OneConv();
  builder.Constant("three", Scalar(3))
      .Constant("zero", Scalar(0))
      .Constant("six", Scalar(6))
      .Constant("five", Scalar(5))
      .Add("Add", {"y", "three"}, {"a"})
      .Add("Clip", {"a", "zero", "six"}, {"c"})
      .Add("Mul", {"y", "c"}, {"m"})
      .Add("Div", {"m", "five"}, {"out"})
      .Output("out");
  ExpectOps(builder, {"Conv", "Add", "Clip", "Mul", "Div"});
}

TEST(Passes, FusesTheResidualIntoTheLaterLayer) {
  GraphBuilder builder = OneConv();
  builder.Constant("v", RandomTensor({8, 8, 1, 1}, 7))
      .Add("Conv", {"y", "v"}, {"z"})
      .Add("Add", {"y", "z"}, {"sum"})
      .Add("Relu", {"sum"}, {"out"})
      .Output("out");
  ExpectOps(builder, {"Conv", "Conv+Add+Relu"});
}

// The other operand comes after the layer: the layer moves behind it.
TEST(Passes, MovesTheLayerBehindItsResidual) {
  GraphBuilder builder = OneConv();
  builder.Constant("u", RandomTensor({8, 3, 1, 1}, 7))
      .Add("Conv", {"x", "u"}, {"z"})
      .Add("Abs", {"x"}, {"abs"})
      .Add("Conv", {"abs", "u"}, {"late"})
      .Add("Sqrt", {"late"}, {"root"})
      .Add("IsNaN", {"root"}, {"nan"})
      .Add("Where", {"nan", "late", "root"}, {"other"})
      .Add("Add", {"z", "other"}, {"sum"})
      .Output("sum")
      .Output("y");
  ExpectSameFunction(builder.graph(), kImage);
}

TEST(Passes, KeepsTheActivationBeforeAResidual) {
  GraphBuilder builder = OneConv();
  builder.Add("Relu", {"y"}, {"r"})
      .Constant("u", RandomTensor({8, 3, 1, 1}, 7))
      .Add("Conv", {"x", "u"}, {"z"})
      .Add("Relu", {"z"}, {"q"})
      .Add("Add", {"r", "q"}, {"out"})
      .Output("out");
  ExpectOps(builder, {"Conv+Relu", "Conv+Relu", "Add"});
}

// Equal in the inferred shapes, where an open dimension counts as 1, and not in the run.
TEST(Passes, AddsAResidualThatTurnsOutToBroadcast) {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 3, 4, 4})
      .Input("other", Dims{1, 8, 4, 4})
      .Constant("u", RandomTensor({8, 3, 1, 1}, 7))
      .Add("Conv", {"x", "u"}, {"z"})
      .Add("Add", {"z", "other"}, {"sum"})
      .Add("Relu", {"sum"}, {"out"})
      .Output("out");
  ExpectSameFunction(builder.graph(), {{"x", RandomTensor({3, 3, 4, 4}, 3)},
                                       {"other", RandomTensor({1, 8, 4, 4}, 4)}});
}

TEST(Passes, FoldsConstantsAndDropsWhatNobodyReads) {
  GraphBuilder builder = OneConv();
  builder.Constant("p", RandomTensor({8, 1, 1}, 4))
      .Add("Identity", {"p"}, {"q"})
      .Add("Exp", {"q"}, {"e"})
      .Add("Mul", {"y", "e"}, {"out"})
      .Add("Sqrt", {"y"}, {"nobody"})
      .Output("out");
  ExpectOps(builder, {"Conv"});
}

TEST(Passes, FoldsTheBiasOfAMatrixProduct) {
  GraphBuilder builder;
  builder.Input("x", Dims{2, 5, 6})
      .Constant("w", RandomTensor({6, 9}, 1))
      .Constant("b", RandomTensor({9}, 2))
      .Add("MatMul", {"x", "w"}, {"y"})
      .Add("Add", {"b", "y"}, {"z"})
      .Add("Tanh", {"z"}, {"out"})
      .Output("out");
  EXPECT_EQ(OpsOf(Simplify(builder.graph())), (std::vector<std::string>{"MatMul+Tanh"}));
  ExpectSameFunction(builder.graph(), {{"x", RandomTensor({2, 5, 6}, 3)}});
}

}  // namespace
}  // namespace espalier::runtime
