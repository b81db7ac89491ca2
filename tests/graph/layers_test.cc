#include "espalier/graph/layers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/graph/layer_case.h"

namespace espalier {
namespace {

using testing::Attributes;
using testing::LayerGraph;
using testing::Numbered;
using testing::PackedConv;
using testing::PackedConvTranspose;
using testing::PackedLeftOperand;
using testing::PackedRightOperand;
using testing::PackedThrough;

std::int64_t Int(int value) { return value; }

// One node with a weight "w" as input `input`; the inputs before it are graph inputs.
Layer LayerOf(const std::string& op, int input, const Dims& weight, Attributes attributes = {},
              DType dtype = DType::kFloat32) {
  LayerGraph g;
  std::vector<std::string> inputs;
  for (int i = 0; i < input; ++i) {
    inputs.push_back(fmt::format("x{}", i));
    g.Input(inputs.back(), std::nullopt);
  }
  inputs.push_back("w");
  if (input == 0) {
    inputs.push_back("x");
    g.Input("x", std::nullopt);
  }
  g.Weight("w", weight, dtype).Node("n", op, inputs, std::move(attributes));
  return g.OnlyLayer();
}

void ExpectReads(const Layer& layer, LayerKind kind, const Dims& packed) {
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(layer.kind, kind);
  EXPECT_EQ(PackedThrough(layer.view), packed);
}

TEST(ConvLayers, ReadOneToThreeDimensionsWithGroups) {
  for (const Dims& kernel : {Dims{3}, Dims{3, 2}, Dims{2, 3, 2}, Dims{1, 1}}) {
    for (const int groups : {1, 2, 3, 6}) {
      for (const std::int64_t channels : {1, 2}) {
        Dims dims = {6, channels};
        dims.insert(dims.end(), kernel.begin(), kernel.end());
        SCOPED_TRACE(::testing::Message() << DimsText(dims) << " groups " << groups);
        for (const char* op : {"Conv", "DeformConv", "com.microsoft:FusedConv"}) {
          const Layer layer = LayerOf(op, 1, dims, {{"group", Int(groups)}});
          ExpectReads(layer, LayerKind::kConv, PackedConv(Numbered(dims)));
          EXPECT_EQ(PackedShapeOf(layer.view),
                    (PackedShape{groups, 6 / groups, ElementCount(kernel), channels}));
          EXPECT_EQ(layer.depthwise, groups > 1 && channels == 1);
          EXPECT_EQ(layer.pointwise, groups == 1 && ElementCount(kernel) == 1);
        }
      }
    }
  }
}

TEST(ConvLayers, ReadTransposedOnesWithGroups) {
  for (const Dims& kernel : {Dims{3}, Dims{3, 2}, Dims{2, 3, 2}}) {
    for (const int groups : {1, 2, 3, 6}) {
      Dims dims = {6, 5};
      dims.insert(dims.end(), kernel.begin(), kernel.end());
      SCOPED_TRACE(::testing::Message() << DimsText(dims) << " groups " << groups);
      const Layer layer = LayerOf("ConvTranspose", 1, dims, {{"group", Int(groups)}});
      ExpectReads(layer, LayerKind::kConv, PackedConvTranspose(Numbered(dims), groups));
      EXPECT_EQ(PackedShapeOf(layer.view),
                (PackedShape{groups, 5, ElementCount(kernel), 6 / groups}));
      EXPECT_EQ(layer.depthwise, groups == 6);
    }
  }
}

TEST(ConvLayers, HaveOneGroupUnlessTheySaySo) {
  EXPECT_EQ(LayerOf("Conv", 1, {6, 4, 3, 3}).view.groups.size(), 0u);
}

TEST(GemmLayers, ReadBothOperandsBothWaysRound) {
  const Dims dims = {3, 5};
  for (const int transposed : {0, 1}) {
    const Layer right = LayerOf("Gemm", 1, dims, {{"transB", Int(transposed)}});
    ExpectReads(
        right, LayerKind::kLinear,
        transposed ? PackedLeftOperand(Numbered(dims)) : PackedRightOperand(Numbered(dims)));
    const Layer left = LayerOf("Gemm", 0, dims, {{"transA", Int(transposed)}});
    ExpectReads(
        left, LayerKind::kLinear,
        transposed ? PackedRightOperand(Numbered(dims)) : PackedLeftOperand(Numbered(dims)));
  }
  // transA says nothing of B.
  EXPECT_EQ(LayerOf("Gemm", 1, dims, {{"transA", Int(1)}}).view, LayerOf("Gemm", 1, dims).view);
}

TEST(MatMulLayers, ReadBothOperandsOfAnyRank) {
  for (const Dims& dims : {Dims{7}, Dims{3, 5}, Dims{2, 3, 5}, Dims{2, 1, 3, 5}, Dims{1, 3, 1}}) {
    SCOPED_TRACE(DimsText(dims));
    ExpectReads(LayerOf("MatMul", 1, dims), LayerKind::kLinear, PackedRightOperand(Numbered(dims)));
    ExpectReads(LayerOf("MatMul", 0, dims), LayerKind::kLinear, PackedLeftOperand(Numbered(dims)));
  }
}

TEST(MatMulLayers, TakeABatchAsGroups) {
  EXPECT_EQ(PackedShapeOf(LayerOf("MatMul", 1, {2, 4, 3, 5}).view), (PackedShape{8, 5, 1, 3}));
  EXPECT_EQ(PackedShapeOf(LayerOf("MatMul", 1, {7}).view), (PackedShape{1, 1, 1, 7}));
}

TEST(MicrosoftLayers, ReadFusedProductsAndAttention) {
  const Dims dims = {3, 6};
  ExpectReads(LayerOf("com.microsoft:FusedGemm", 1, dims, {{"transB", Int(1)}}), LayerKind::kLinear,
              PackedLeftOperand(Numbered(dims)));
  ExpectReads(LayerOf("com.microsoft:FusedMatMul", 1, dims, {{"transB", Int(1)}}),
              LayerKind::kLinear, PackedLeftOperand(Numbered(dims)));
  ExpectReads(LayerOf("com.microsoft:FusedMatMul", 0, dims, {{"transA", Int(1)}}),
              LayerKind::kLinear, PackedRightOperand(Numbered(dims)));
  ExpectReads(LayerOf("com.microsoft:Attention", 1, dims), LayerKind::kLinear,
              PackedRightOperand(Numbered(dims)));
}

TEST(MicrosoftLayers, AreNotTheStandardOnesOfTheSameName) {
  LayerGraph g;
  g.Weight("w", {4, 4})
      .Node("a", "other.domain:MatMul", {"x", "w"})
      .Node("b", "Attention", {"x", "w"});
  EXPECT_TRUE(g.Layers().empty());
}

TEST(RecurrentLayers, ReadInputAndRecurrentWeightsOfBothDirections) {
  for (const auto& [op, gates] : {std::pair{"RNN", 1}, {"GRU", 3}, {"LSTM", 4}}) {
    const Dims w = {2, gates * 3, 5};
    const Dims r = {2, gates * 3, 3};
    LayerGraph g;
    g.Weight("W", w).Weight("R", r).Node("rnn", op, {"x", "W", "R"});
    const auto layers = g.Layers();
    ASSERT_EQ(layers.size(), 2u) << op;
    EXPECT_EQ(layers[0].name, "rnn:W");
    EXPECT_EQ(layers[1].name, "rnn:R");
    ExpectReads(layers[0], LayerKind::kRecurrent, PackedLeftOperand(Numbered(w)));
    ExpectReads(layers[1], LayerKind::kRecurrent, PackedLeftOperand(Numbered(r)));
    EXPECT_EQ(PackedShapeOf(layers[0].view), (PackedShape{2, gates * 3, 1, 5}));
  }
}

TEST(Layers, LeaveBiasesAndActivationsOut) {
  LayerGraph g;
  g.Weight("w", {4, 4, 1, 1}).Weight("b", {4}).Weight("a", {4, 4});
  g.Node("conv", "Conv", {"x", "w", "b"}).Node("add", "Add", {"conv.out", "a"});
  g.Weight("w2", {4, 4}).Weight("c", {4, 4}).Node("gemm", "Gemm", {"x", "w2", "c"});
  g.Weight("fixed", {1, 4, 8, 8}).Node("of constant", "Conv", {"fixed", "y"});
  const auto layers = g.Layers();
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].weight, "w");
  EXPECT_EQ(layers[1].weight, "w2");
}

TEST(Layers, DescribeTheStoredTensorAndItsReader) {
  LayerGraph g;
  g.Weight("unrelated", {2}).Weight("w", {4, 2, 1, 1}, DType::kFloat16);
  g.Node("c1", "Conv", {"x", "w"});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.name, "c1");
  EXPECT_EQ(layer.op, "Conv");
  EXPECT_EQ(layer.weight, "w");
  EXPECT_EQ(layer.constant, 1);
  EXPECT_EQ(layer.dtype, DType::kFloat16);
  EXPECT_EQ(layer.shape, (Dims{4, 2, 1, 1}));
  EXPECT_EQ(layer.readers, (std::vector<std::string>{"Conv 'c1'"}));
  EXPECT_EQ(layer.caution, "");
  EXPECT_FALSE(layer.quantization.has_value());
}

TEST(Layers, ComeInTheOrderOfExecutionNotOfStorage) {
  LayerGraph g;
  g.Weight("w3", {4, 4}).Weight("w1", {4, 4}).Weight("w2", {4, 4});
  g.Node("a", "MatMul", {"x", "w1"}).Node("b", "MatMul", {"a.out", "w2"});
  g.Node("c", "MatMul", {"b.out", "w3"});
  std::vector<std::string> names;
  for (const Layer& layer : g.Layers()) names.push_back(layer.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Layers, OfNodesWithoutNamesAreCalledAsTheirWeights) {
  LayerGraph g;
  g.Weight("fc.weight", {4, 4}).Weight("lstm.W", {1, 8, 4});
  g.Add("MatMul", {"x", "fc.weight"}, {"y"}).Add("LSTM", {"y", "lstm.W"}, {"z"});
  const auto layers = g.Layers();
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].name, "fc.weight");
  EXPECT_EQ(layers[1].name, "lstm.W");  // no ":W": the name is the weight's already
  EXPECT_EQ(layers[0].readers, (std::vector<std::string>{"MatMul of 'y'"}));
}

TEST(Layers, HaveUniqueNamesWhateverTheNodesAreCalled) {
  LayerGraph g;
  for (const char* w : {"w1", "w2", "w3", "w4"}) g.Weight(w, {4, 4});
  g.Node("fc", "MatMul", {"x", "w1"}).Node("fc#2", "MatMul", {"x", "w2"});
  g.Node("fc", "MatMul", {"x", "w3"}).Node("fc", "MatMul", {"x", "w4"});
  std::vector<std::string> names;
  for (const Layer& layer : g.Layers()) names.push_back(layer.name);
  EXPECT_EQ(names, (std::vector<std::string>{"fc", "fc#2", "fc#3", "fc#4"}));
}

TEST(Layers, OfAnEmptyGraphAreNone) {
  EXPECT_TRUE(FindLayers(Graph()).empty());
  LayerGraph g;
  EXPECT_TRUE(g.Layers().empty());
}

std::optional<std::int64_t> MacsOf(LayerGraph& g) { return g.OnlyLayer().macs; }

TEST(LayerMacs, CountConvolutionsByTheirOutputs) {
  LayerGraph g;
  g.Input("x", Dims{-1, 4, 8, 8}).Output("y");
  g.Weight("w", {6, 2, 3, 3}).Node("n", "Conv", {"x", "w"}, {{"group", Int(2)}});
  EXPECT_EQ(MacsOf(g), 6 * 6 * 6 * 2 * 9);  // 6 channels of 6x6, each 2 inputs x 9 positions
}

TEST(LayerMacs, CountTransposedConvolutionsByTheirInputs) {
  LayerGraph g;
  g.Input("x", Dims{1, 4, 8, 8});
  g.Weight("w", {4, 5, 3, 3}).Node("n", "ConvTranspose", {"x", "w"}, {{"group", Int(2)}});
  EXPECT_EQ(MacsOf(g), 4 * 8 * 8 * 5 * 9);
}

TEST(LayerMacs, CountMatrixProductsFromEitherSide) {
  LayerGraph right;
  right.Input("x", Dims{1, 7, 3}).Weight("w", {3, 5}).Node("n", "MatMul", {"x", "w"});
  EXPECT_EQ(MacsOf(right), 7 * 3 * 5);
  LayerGraph left;
  left.Input("x", Dims{3, 7}).Weight("w", {5, 3}).Node("n", "MatMul", {"w", "x"});
  EXPECT_EQ(MacsOf(left), 7 * 3 * 5);
}

TEST(LayerMacs, CountRecurrentWeightsOnceAStep) {
  LayerGraph g;
  g.Input("x", Dims{10, 2, 5}).Weight("W", {1, 12, 5});
  g.Node("n", "LSTM", {"x", "W", "r"}, {{"hidden_size", Int(3)}});
  EXPECT_EQ(MacsOf(g), 10 * 2 * 12 * 5);
}

TEST(LayerMacs, AddUpAllReaders) {
  LayerGraph g;
  g.Input("x", Dims{2, 3}).Weight("w", {3, 5});
  g.Node("a", "MatMul", {"x", "w"}).Node("b", "MatMul", {"x", "w"});
  EXPECT_EQ(MacsOf(g), 2 * (2 * 3 * 5));
}

TEST(LayerMacs, AreUnknownWithoutShapes) {
  LayerGraph g;
  g.Input("x", std::nullopt).Weight("w", {3, 5}).Node("n", "MatMul", {"x", "w"});
  EXPECT_EQ(MacsOf(g), std::nullopt);
}

TEST(LayerMacs, AreUnknownBeyond64Bits) {
  LayerGraph g;
  g.Input("x", Dims{std::int64_t{1} << 31, std::int64_t{1} << 30, 8});
  g.Weight("w", {8, 8}).Node("n", "MatMul", {"x", "w"});
  EXPECT_EQ(MacsOf(g), std::nullopt);
}

}  // namespace
}  // namespace espalier
