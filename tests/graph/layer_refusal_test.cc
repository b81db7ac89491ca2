#include <gtest/gtest.h>

#include <limits>

#include "tests/graph/layer_case.h"

// Weights that cannot be pruned, and what is said of them.
namespace espalier {
namespace {

using testing::Attributes;
using testing::IntVector;
using testing::LayerGraph;
using testing::Numbered;
using testing::PackedConv;
using testing::PackedThrough;

std::int64_t Int(std::int64_t value) { return value; }

std::string RefusalOf(const std::string& op, const Dims& weight, Attributes attributes = {},
                      DType dtype = DType::kFloat32) {
  LayerGraph g;
  g.Weight("w", weight, dtype).Node("n", op, {"x", "w"}, std::move(attributes));
  return g.OnlyLayer().refusal;
}

TEST(SharedWeights, ReadAlongTheSameAxesAreOneLayer) {
  LayerGraph g;
  g.Weight("w", {5, 3}).Node("t", "Transpose", {"w"});
  g.Node("a", "Gemm", {"x", "w"}, {{"transB", Int(1)}}).Node("b", "MatMul", {"y", "t.out"});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(layer.name, "a");
  EXPECT_EQ(layer.readers, (std::vector<std::string>{"Gemm 'a'", "MatMul 'b'"}));
}

TEST(SharedWeights, OfAConvolutionOfOnesAndAProductAreOneLayer) {
  LayerGraph g;
  g.Weight("w", {5, 3, 1, 1}).Node("c", "Conv", {"x", "w"}).Node("f", "Flatten", {"w"});
  g.Node("fc", "Gemm", {"y", "f.out"}, {{"transB", Int(1)}});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_TRUE(layer.pointwise);
  EXPECT_EQ(PackedThrough(layer.view), PackedConv(Numbered({5, 3, 1, 1})));
}

TEST(SharedWeights, ReadAlongDifferentAxesAreRefused) {
  LayerGraph g;
  g.Weight("w", {5, 3}).Node("a", "MatMul", {"x", "w"});
  g.Node("b", "Gemm", {"y", "w"}, {{"transB", Int(1)}});
  EXPECT_EQ(g.OnlyLayer().refusal,
            "MatMul 'a' and Gemm 'b' share it but read it along different axes");
}

TEST(SharedWeights, OfDifferentGroupsAreRefused) {
  LayerGraph g;
  g.Weight("w", {4, 2, 3, 3}).Node("a", "Conv", {"x", "w"}, {{"group", Int(2)}});
  g.Node("b", "Conv", {"y", "w"});
  EXPECT_EQ(g.OnlyLayer().refusal,
            "Conv 'a' and Conv 'b' share it but read it along different axes");
}

TEST(SharedWeights, ReadByAGatherTooAreRefused) {
  LayerGraph g;
  g.Weight("embedding", {10, 4}).Node("look up", "Gather", {"embedding", "ids"});
  g.Node("head", "Gemm", {"x", "embedding"}, {{"transB", Int(1)}});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal,
            "Gather 'look up' reads it too, and has no input channels along which to prune");
  EXPECT_EQ(layer.name, "head");
  EXPECT_EQ(layer.readers.size(), 2u);
}

TEST(SharedWeights, ReadByOneGoodAndOneBadLayerAreRefused) {
  LayerGraph g;
  g.Weight("w", {4, 3}).Node("a", "MatMul", {"x", "w"}).Node("b", "Conv", {"x", "w"});
  EXPECT_EQ(g.OnlyLayer().refusal, "Conv 'b' has a weight of 2 dimensions, not 3, 4 or 5");
}

TEST(Refusals, OfGraphOutputs) {
  LayerGraph g;
  g.Weight("w", {4, 4}).Node("fc", "MatMul", {"x", "w"}).Output("w");
  EXPECT_EQ(g.OnlyLayer().refusal, "it is an output of the graph");
  LayerGraph behind;
  behind.Weight("w", {4, 4}).Node("t", "Transpose", {"w"}).Output("t.out");
  behind.Node("fc", "MatMul", {"x", "w"});
  EXPECT_EQ(behind.OnlyLayer().refusal, "it is an output of the graph");
}

TEST(Refusals, OfWeightsThatAFunctionReads) {
  for (const char* domain : {"my", "ai.onnx"}) {
    LayerGraph g;
    const int function = g.AddScope(Scope::Kind::kFunction, -1);
    g.graph().scopes[function].name = std::string(domain) + ".Dense";
    const std::string op = domain == std::string("my") ? "my:Dense" : "Dense";
    g.Weight("w", {4, 4}).Weight("bias", {4}).Weight("table", {4, 4}, DType::kInt64);
    g.Node("call", op, {"x", "w", "bias", "table"});
    const Layer layer = g.OnlyLayer();
    EXPECT_EQ(layer.weight, "w");
    EXPECT_EQ(layer.refusal, "a model-local function reads it; inline the functions first");
    EXPECT_EQ(layer.op, "Dense");
    EXPECT_EQ(layer.name, "call");
  }
}

TEST(Refusals, OfLayersThatAFunctionReadsToo) {
  LayerGraph g;
  const int function = g.AddScope(Scope::Kind::kFunction, -1);
  g.graph().scopes[function].name = "my.Dense";
  g.Weight("w", {4, 4}).Node("call", "my:Dense", {"x", "w"}).Node("fc", "MatMul", {"x", "w"});
  EXPECT_EQ(g.OnlyLayer().refusal,
            "Dense 'call' reads it too, and has no input channels along which to prune");
}

TEST(Refusals, OfTypesThatCannotBePruned) {
  for (const DType dtype : {DType::kInt4, DType::kUint4, DType::kInt16, DType::kInt32,
                            DType::kFloat8E4M3Fn, DType::kComplex64, DType::kFloat4}) {
    const std::string name(DTypeName(dtype));
    EXPECT_EQ(RefusalOf("MatMul", {4, 4}, {}, dtype), "its type " + name + " cannot be pruned");
  }
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64}) {
    EXPECT_EQ(RefusalOf("MatMul", {4, 4}, {}, dtype), "") << DTypeName(dtype);
  }
}

TEST(Refusals, OfWrongRanks) {
  EXPECT_EQ(RefusalOf("Conv", {4, 4}), "Conv 'n' has a weight of 2 dimensions, not 3, 4 or 5");
  EXPECT_EQ(RefusalOf("Conv", {1, 1, 1, 1, 1, 1}),
            "Conv 'n' has a weight of 6 dimensions, not 3, 4 or 5");
  EXPECT_EQ(RefusalOf("ConvTranspose", {4}),
            "ConvTranspose 'n' has a weight of 1 dimensions, not 3, 4 or 5");
  EXPECT_EQ(RefusalOf("Gemm", {4, 4, 4}), "Gemm 'n' has a weight of 3 dimensions, not 2");
  EXPECT_EQ(RefusalOf("LSTM", {8, 4}), "LSTM 'n' has a weight of 2 dimensions, not 3");
}

TEST(Refusals, OfProductsWithAScalar) {
  LayerGraph g;
  g.Weight("w", {1}).Constant("none", IntVector({})).Node("squeeze", "Squeeze", {"w"});
  g.Node("n", "MatMul", {"x", "squeeze.out"});
  EXPECT_EQ(g.OnlyLayer().refusal, "MatMul 'n' has a weight of 0 dimensions, not 1 or more");
}

TEST(Refusals, OfGroupsThatDoNotDivide) {
  for (const std::int64_t groups : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{3},
                                    std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_EQ(RefusalOf("Conv", {4, 4, 1, 1}, {{"group", groups}}),
              "Conv 'n' has 4 as its first weight dimension, which its 'group' attribute does not "
              "divide");
  }
  EXPECT_NE(RefusalOf("Conv", {4, 4, 1, 1}, {{"group", std::monostate{}}}), "");
}

TEST(Refusals, OfAttributesWithoutAValue) {
  EXPECT_EQ(RefusalOf("Gemm", {4, 4}, {{"transB", std::monostate{}}}),
            "Gemm 'n' has a transpose attribute without a value");
}

TEST(Refusals, OfBatchTransposes) {
  EXPECT_EQ(RefusalOf("com.microsoft:FusedMatMul", {2, 4, 4}, {{"transBatchB", Int(1)}}),
            "FusedMatMul 'n' uses batch transposes, which are not supported");
}

TEST(Refusals, OfTensorsWithoutElements) {
  EXPECT_EQ(RefusalOf("MatMul", {0, 4}), "it has no elements (0x4)");
  EXPECT_EQ(RefusalOf("Conv", {4, 0, 3, 3}), "it has no elements (4x0x3x3)");
}

TEST(Refusals, OfTensorsWithoutElementsBehindEachMove) {
  for (const auto& [op, ints] : {std::pair<const char*, Dims>{"Reshape", {-1, 4}},
                                 {"Reshape", {0, 4}},
                                 {"Unsqueeze", {0}}}) {
    LayerGraph g;
    g.Weight("w", {0, 4}).Constant("ints", IntVector(ints));
    g.Node("move", op, {"w", "ints"}).Node("n", "MatMul", {"x", "move.out"});
    for (const Layer& layer : g.Layers()) EXPECT_NE(layer.refusal, "");
  }
  LayerGraph g;
  g.Weight("w", {0, 4}).Node("move", "Flatten", {"w"}).Node("n", "MatMul", {"x", "move.out"});
  EXPECT_EQ(g.OnlyLayer().refusal, "it has no elements (0x4)");
}

TEST(Refusals, OfWeightsWhoseLayoutIsLostOnTheWayNameTheirReaderAndTheMove) {
  LayerGraph g;
  g.Weight("w", {4, 6}).Weight("mask", {4, 6}).Constant("ints", IntVector({8, 3}));
  g.Node("t", "Transpose", {"w"}).Node("merge", "Reshape", {"t.out", "ints"});
  g.Node("cast", "Cast", {"merge.out"}).Node("fc", "MatMul", {"x", "cast.out"});
  // The same of a tensor that no layer reads says nothing.
  g.Node("t2", "Transpose", {"mask"}).Node("merge2", "Reshape", {"t2.out", "ints"});
  g.Node("add", "Add", {"x", "merge2.out"});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.name, "fc");
  EXPECT_EQ(layer.refusal, "Reshape 'merge' changes its layout in a way that cannot be followed");
  EXPECT_EQ(layer.readers, (std::vector<std::string>{"MatMul 'fc'"}));
}

// Of a node that moves elements and another that reads the weight as it is.
std::string RefusalBeside(const std::string& op, const Dims& ints, Attributes attributes = {}) {
  LayerGraph g;
  g.Weight("w", {4, 6}).Constant("ints", IntVector(ints)).Node("fc", "MatMul", {"x", "w"});
  std::vector<std::string> inputs = {"w"};
  if (!ints.empty()) inputs.push_back("ints");
  g.Node("move", op, inputs, std::move(attributes)).Node("n", "MatMul", {"x", "move.out"});
  return g.OnlyLayer().refusal;
}

TEST(Refusals, OfMovesThatMakeNoSense) {
  const auto cannot = [](const std::string& op) {
    return op + " 'move' changes its layout in a way that cannot be followed";
  };
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  for (const Dims& target : {Dims{5, 5}, Dims{-1, -1}, Dims{-2, 12}, Dims{-1, 7}, Dims{4, 6, 0},
                             Dims{huge}, Dims{huge, huge}, Dims{(Int(1) << 62) + 1, -1},
                             Dims{Int(1) << 32, Int(1) << 31}, Dims{-1, huge}}) {
    SCOPED_TRACE(DimsText(target));
    EXPECT_EQ(RefusalBeside("Reshape", target), cannot("Reshape"));
  }
  EXPECT_EQ(RefusalBeside("Reshape", {0, 6}, {{"allowzero", Int(1)}}), cannot("Reshape"));
  EXPECT_EQ(RefusalBeside("Reshape", {}), cannot("Reshape"));  // the shape is not constant
  EXPECT_EQ(RefusalBeside("Transpose", {}, {{"perm", Dims{0, 0}}}), cannot("Transpose"));
  EXPECT_EQ(RefusalBeside("Transpose", {}, {{"perm", std::monostate{}}}), cannot("Transpose"));
  EXPECT_EQ(RefusalBeside("Squeeze", {0}), cannot("Squeeze"));  // of size 4
  EXPECT_EQ(RefusalBeside("Squeeze", {7}), cannot("Squeeze"));
  EXPECT_EQ(RefusalBeside("Unsqueeze", {-9}), cannot("Unsqueeze"));
  EXPECT_EQ(RefusalBeside("Unsqueeze", {0, 0}), cannot("Unsqueeze"));
  EXPECT_EQ(RefusalBeside("Unsqueeze", {}), cannot("Unsqueeze"));
  EXPECT_EQ(RefusalBeside("Flatten", {}, {{"axis", Int(3)}}), cannot("Flatten"));
  EXPECT_EQ(RefusalBeside("Flatten", {}, {{"axis", Int(-3)}}), cannot("Flatten"));
}

TEST(Refusals, OfNodesWithoutNamesSayWhatTheyMake) {
  LayerGraph g;
  g.Weight("w", {4, 4}).Add("MatMul", {"x", "w"}, {"y"}).Add("Gather", {"w", "i"}, {"rows"});
  EXPECT_EQ(g.OnlyLayer().refusal,
            "Gather of 'rows' reads it too, and has no input channels along which to prune");
}

TEST(Refusals, LeaveWhatIsKnownOfTheLayer) {
  LayerGraph g;
  g.Input("x", Dims{2, 4}).Weight("w", {4, 5}).Node("fc", "MatMul", {"x", "w"}).Output("w");
  const Layer layer = g.OnlyLayer();
  EXPECT_NE(layer.refusal, "");
  EXPECT_EQ(layer.kind, LayerKind::kLinear);
  EXPECT_EQ(layer.macs, 2 * 4 * 5);
}

}  // namespace
}  // namespace espalier
