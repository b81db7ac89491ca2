#include "graph/layer_quantization.h"

#include <gtest/gtest.h>

#include "tests/graph/layer_case.h"

namespace espalier {
namespace {

using testing::Attributes;
using testing::FloatVector;
using testing::Int8Vector;
using testing::IntVector;
using testing::LayerGraph;
using testing::TensorOf;
using Along = Quantization::Along;
using Floats = std::vector<float>;
using Zeros32 = std::vector<std::int32_t>;

std::int64_t Int(std::int64_t value) { return value; }

Tensor Uint8Vector(const std::vector<std::uint8_t>& values) {
  return TensorOf(DType::kUint8, {static_cast<std::int64_t>(values.size())}, values);
}

// An int8 weight behind a DequantizeLinear with these scales and zero points along `axis`.
LayerGraph Dequantized(const Dims& weight, const Floats& scales,
                       const std::vector<std::int8_t>& zeros, std::int64_t axis) {
  LayerGraph g;
  g.Weight("w", weight, DType::kInt8).Constant("s", FloatVector(scales));
  g.Constant("z", Int8Vector(zeros));
  g.Node("dq", "DequantizeLinear", {"w", "s", "z"}, {{"axis", axis}});
  return g;
}

void ExpectQuantization(const Layer& layer, Along along, const Floats& scale,
                        const Zeros32& zero_point) {
  ASSERT_EQ(layer.refusal, "");
  ASSERT_TRUE(layer.quantization.has_value());
  EXPECT_EQ(layer.quantization->along, along);
  EXPECT_EQ(layer.quantization->scale, scale);
  EXPECT_EQ(layer.quantization->zero_point, zero_point);
}

TEST(DequantizeLinear, GivesOneScaleForTheTensor) {
  for (const std::int64_t axis : {0, 1, -1, 9}) {  // 9: not an axis, and not needed
    LayerGraph g = Dequantized({4, 3}, {0.5f}, {7}, axis);
    g.Node("fc", "MatMul", {"x", "dq.out"});
    ExpectQuantization(g.OnlyLayer(), Along::kTensor, {0.5f}, {7});
  }
}

TEST(DequantizeLinear, GivesAScaleForEachOutputChannel) {
  for (const std::int64_t axis : {0, -2}) {
    LayerGraph g = Dequantized({2, 3}, {1, 2}, {3, 4}, axis);
    g.Node("fc", "Gemm", {"x", "dq.out"}, {{"transB", Int(1)}});
    ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2}, {3, 4});
  }
}

TEST(DequantizeLinear, GivesAScaleForEachInputChannel) {
  LayerGraph g = Dequantized({2, 3}, {1, 2}, {3, 4}, 0);
  g.Node("fc", "MatMul", {"x", "dq.out"});
  ExpectQuantization(g.OnlyLayer(), Along::kChannel, {1, 2}, {3, 4});
}

TEST(DequantizeLinear, HasAxis1UnlessItSaysSo) {
  LayerGraph g = Dequantized({2, 2}, {1, 2}, {3, 4}, 0);
  g.graph().scopes[0].nodes.back().attributes.clear();
  g.Node("fc", "MatMul", {"x", "dq.out"});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2}, {3, 4});
}

TEST(DequantizeLinear, NumbersRowsOverAllGroupsOfAConvolution) {
  LayerGraph g = Dequantized({4, 1, 3, 3}, {1, 2, 3, 4}, {5, 6, 7, 8}, 0);
  g.Node("conv", "Conv", {"x", "dq.out"}, {{"group", Int(2)}});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2, 3, 4}, {5, 6, 7, 8});
  LayerGraph depthwise = Dequantized({4, 1, 3, 3}, {1, 2, 3, 4}, {5, 6, 7, 8}, 0);
  depthwise.Node("conv", "Conv", {"x", "dq.out"}, {{"group", Int(4)}});
  ExpectQuantization(depthwise.OnlyLayer(), Along::kRow, {1, 2, 3, 4}, {5, 6, 7, 8});
}

TEST(DequantizeLinear, RepeatsScalesOfTransposedConvolutionsForEachGroup) {
  LayerGraph g = Dequantized({4, 2, 3, 3}, {1, 2}, {5, 6}, 1);
  g.Node("conv", "ConvTranspose", {"x", "dq.out"}, {{"group", Int(2)}});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2, 1, 2}, {5, 6, 5, 6});
}

TEST(DequantizeLinear, KeepsItsAxisThroughATranspose) {
  LayerGraph g = Dequantized({2, 3}, {1, 2}, {3, 4}, 0);
  g.Node("t", "Transpose", {"dq.out"}).Node("fc", "MatMul", {"x", "t.out"});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2}, {3, 4});
}

TEST(DequantizeLinear, MayLeaveTheZeroPointOut) {
  LayerGraph g;
  g.Weight("w", {2, 3}, DType::kInt8).Constant("s", FloatVector({0.5f, 0.25f}));
  g.Node("dq", "DequantizeLinear", {"w", "s"})
      .Node("fc", "Gemm", {"x", "dq.out"}, {{"transB", Int(1)}});
  g.graph().scopes[0].nodes[0].attributes["axis"] = Int(0);
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {0.5f, 0.25f}, {0, 0});
}

TEST(DequantizeLinear, OfFloatWeightsSaysNothingOfTheStoredOnes) {
  LayerGraph g;
  g.Weight("w", {2, 3}).Constant("s", FloatVector({0.5f})).Constant("z", Int8Vector({9}));
  g.Node("q", "QuantizeLinear", {"w", "s", "z"});
  g.Node("dq", "DequantizeLinear", {"q.out", "s", "z"}).Node("fc", "MatMul", {"x", "dq.out"});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_FALSE(layer.quantization.has_value());
}

// What is stored stands for real numbers by the first one; a second works on those.
TEST(DequantizeLinear, TheFirstOfTwoCounts) {
  LayerGraph g = Dequantized({2, 3}, {0.5f}, {7}, 0);
  g.Constant("s2", FloatVector({2})).Constant("z2", Int8Vector({1}));
  g.Node("q", "QuantizeLinear", {"dq.out", "s2", "z2"});
  g.Node("dq2", "DequantizeLinear", {"q.out", "s2", "z2"}).Node("fc", "MatMul", {"x", "dq2.out"});
  ExpectQuantization(g.OnlyLayer(), Along::kTensor, {0.5f}, {7});
}

std::string RefusalOfDequantized(const Dims& weight, const Floats& scales,
                                 const std::vector<std::int8_t>& zeros, std::int64_t axis) {
  LayerGraph g = Dequantized(weight, scales, zeros, axis);
  g.Node("fc", "MatMul", {"x", "dq.out"});
  return g.OnlyLayer().refusal;
}

TEST(DequantizeLinear, AlongAnotherAxisIsRefused) {
  EXPECT_EQ(RefusalOfDequantized({2, 3, 4}, {1, 2}, {0, 0}, 0),
            "DequantizeLinear 'dq' has 2 scales along an axis that is neither output nor input "
            "channels");
  EXPECT_EQ(RefusalOfDequantized({2, 3}, {1, 2}, {0, 0}, 7),
            "DequantizeLinear 'dq' has 2 scales along an axis that is neither output nor input "
            "channels");
  EXPECT_NE(RefusalOfDequantized({2, 3}, {1, 2}, {0, 0}, 1), "");  // the axis has 3
}

TEST(DequantizeLinear, WithUnequalNumbersOfScalesAndZeroPointsIsRefused) {
  EXPECT_EQ(RefusalOfDequantized({3, 2}, {1, 2, 3}, {1, 2}, 0),
            "DequantizeLinear 'dq' has 3 scales but 2 zero points");
}

TEST(DequantizeLinear, WithOneZeroPointForAllScalesSpreadsIt) {
  LayerGraph g = Dequantized({3, 2}, {1, 2}, {9}, 1);
  g.Node("fc", "MatMul", {"x", "dq.out"});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2}, {9, 9});
}

TEST(DequantizeLinear, InBlocksIsRefused) {
  LayerGraph g = Dequantized({4, 4}, {1}, {0}, 0);
  g.graph().scopes[0].nodes.back().attributes["block_size"] = Int(2);
  g.Node("fc", "MatMul", {"x", "dq.out"});
  EXPECT_EQ(g.OnlyLayer().refusal,
            "DequantizeLinear 'dq' has scales in blocks, which are not supported");
}

TEST(DequantizeLinear, WithParametersThatAreNotConstantIsRefused) {
  for (const auto& inputs :
       {std::vector<std::string>{"w", "runtime", "z"},
        std::vector<std::string>{"w", "s", "runtime"}, std::vector<std::string>{"w", "s", "empty"},
        std::vector<std::string>{"w", "complex", "z"}}) {
    LayerGraph g = Dequantized({4, 4}, {1}, {0}, 0);
    g.Constant("empty", Int8Vector({})).Weight("complex", {1}, DType::kComplex64);
    g.Input("runtime", Dims{1});
    g.graph().scopes[0].nodes.back().inputs = inputs;
    g.Node("fc", "MatMul", {"x", "dq.out"});
    EXPECT_EQ(g.OnlyLayer().refusal,
              "the scale or zero point of DequantizeLinear 'dq' is not a constant");
  }
}

TEST(DequantizeLinear, WithAZeroPointThatTheTypeLacksIsRefused) {
  for (const auto& [dtype, zero, fits] : {std::tuple{DType::kInt8, Int(127), true},
                                          {DType::kInt8, Int(128), false},
                                          {DType::kInt8, Int(-129), false},
                                          {DType::kUint8, Int(255), true},
                                          {DType::kUint8, Int(256), false},
                                          {DType::kUint8, Int(-1), false},
                                          {DType::kInt8, Int(1) << 62, false}}) {
    LayerGraph g;
    g.Weight("w", {2, 3}, dtype).Constant("s", FloatVector({1})).Constant("z", IntVector({zero}));
    g.Node("dq", "DequantizeLinear", {"w", "s", "z"}).Node("fc", "MatMul", {"x", "dq.out"});
    const std::string refusal = g.OnlyLayer().refusal;
    EXPECT_EQ(refusal.empty(), fits) << refusal;
    if (!fits) {
      EXPECT_NE(refusal.find("DequantizeLinear 'dq' has a zero point of "), std::string::npos);
      EXPECT_NE(refusal.find("which is no " + std::string(DTypeName(dtype))), std::string::npos);
    }
  }
}

TEST(IntegerLayers, ReadTheirOwnZeroPoints) {
  LayerGraph g;
  g.Weight("w", {3, 2}, DType::kUint8).Constant("z", Uint8Vector({128}));
  g.Node("n", "MatMulInteger", {"x", "w", "xz", "z"});
  ExpectQuantization(g.OnlyLayer(), Along::kTensor, {1}, {128});
  LayerGraph columns;
  columns.Weight("w", {3, 2}, DType::kUint8).Constant("z", Uint8Vector({1, 255}));
  columns.Node("n", "MatMulInteger", {"x", "w", "xz", "z"});
  ExpectQuantization(columns.OnlyLayer(), Along::kRow, {1, 1}, {1, 255});
  LayerGraph left;
  left.Weight("w", {3, 2}, DType::kInt8).Constant("z", Int8Vector({1, -2, 3}));
  left.Node("n", "MatMulInteger", {"w", "x", "z"});
  ExpectQuantization(left.OnlyLayer(), Along::kRow, {1, 1, 1}, {1, -2, 3});
}

TEST(IntegerLayers, WithoutAZeroPointInputHaveZero) {
  for (const char* op : {"MatMulInteger", "ConvInteger"}) {
    LayerGraph g;
    g.Weight("w", op[0] == 'M' ? Dims{3, 2} : Dims{3, 2, 1, 1}, DType::kInt8);
    g.Node("n", op, {"x", "w"});
    ExpectQuantization(g.OnlyLayer(), Along::kTensor, {1}, {0});
  }
}

TEST(IntegerLayers, OfQLinearReadScalesAndZeroPointsOfTheWeightNotOfTheInput) {
  LayerGraph g;
  g.Constant("xs", FloatVector({9})).Constant("xz", Uint8Vector({99}));
  g.Weight("w", {4, 1, 3, 3}, DType::kInt8).Constant("s", FloatVector({1, 2, 3, 4}));
  g.Constant("z", Int8Vector({5, 6, 7, 8}));
  g.Node("n", "QLinearConv", {"x", "xs", "xz", "w", "s", "z", "ys", "yz"}, {{"group", Int(2)}});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 2, 3, 4}, {5, 6, 7, 8});
  LayerGraph product;
  product.Constant("xs", FloatVector({9})).Constant("xz", Uint8Vector({99}));
  product.Weight("w", {3, 2}, DType::kUint8).Constant("s", FloatVector({0.5f, 2}));
  product.Constant("z", Uint8Vector({5, 6}));
  product.Node("n", "QLinearMatMul", {"x", "xs", "xz", "w", "s", "z", "ys", "yz"});
  ExpectQuantization(product.OnlyLayer(), Along::kRow, {0.5f, 2}, {5, 6});
  LayerGraph left;
  left.Weight("w", {2, 3}, DType::kUint8).Constant("s", FloatVector({0.5f}));
  left.Constant("z", Uint8Vector({5}));
  left.Node("n", "QLinearMatMul", {"w", "s", "z", "x", "xs", "xz", "ys", "yz"});
  ExpectQuantization(left.OnlyLayer(), Along::kTensor, {0.5f}, {5});
}

TEST(IntegerLayers, ReadZeroPointsOfABatchOfMatrices) {
  LayerGraph g;
  g.Weight("w", {2, 3, 2}, DType::kUint8);
  g.Constant("z", TensorOf(DType::kUint8, {2, 1, 2}, std::vector<std::uint8_t>{1, 2, 3, 4}));
  g.Node("n", "MatMulInteger", {"x", "w", "", "z"});
  ExpectQuantization(g.OnlyLayer(), Along::kRow, {1, 1, 1, 1}, {1, 2, 3, 4});
}

TEST(IntegerLayers, WithOtherCountsOfZeroPointsAreRefused) {
  LayerGraph g;
  g.Weight("w", {3, 2}, DType::kUint8).Constant("z", Uint8Vector({1, 2, 3}));
  g.Node("n", "MatMulInteger", {"x", "w", "xz", "z"});
  EXPECT_EQ(
      g.OnlyLayer().refusal,
      "MatMulInteger 'n' has 3 scales along an axis that is neither output nor input channels");
}

TEST(IntegerLayers, OfFloatOperatorsAreRefused) {
  LayerGraph g;
  g.Weight("w", {3, 2}, DType::kInt8).Node("cast", "Cast", {"w"});
  g.Node("n", "MatMul", {"x", "cast.out"});
  EXPECT_EQ(g.OnlyLayer().refusal, "MatMul 'n' reads integers without a zero point");
}

LayerGraph SharedByTwo(const std::vector<std::int8_t>& first,
                       const std::vector<std::int8_t>& second) {
  LayerGraph g = Dequantized({3, 2}, Floats(first.size(), 1), first, 1);
  g.Constant("s2", FloatVector(Floats(second.size(), 2))).Constant("z2", Int8Vector(second));
  g.Node("dq2", "DequantizeLinear", {"w", "s2", "z2"}, {{"axis", Int(1)}});
  g.Node("a", "MatMul", {"x", "dq.out"}).Node("b", "MatMul", {"x", "dq2.out"});
  return g;
}

TEST(SharedIntegerWeights, WithTheSameZeroPointsAreOneLayer) {
  ExpectQuantization(SharedByTwo({7}, {7}).OnlyLayer(), Along::kTensor, {1}, {7});
  ExpectQuantization(SharedByTwo({7}, {7, 7}).OnlyLayer(), Along::kTensor, {1}, {7});
  ExpectQuantization(SharedByTwo({7, 8}, {7, 8}).OnlyLayer(), Along::kRow, {1, 1}, {7, 8});
}

TEST(SharedIntegerWeights, WithOtherZeroPointsAreRefused) {
  for (auto& g : {SharedByTwo({7}, {8}), SharedByTwo({7, 8}, {7}), SharedByTwo({7, 8}, {8, 7})}) {
    LayerGraph copy = g;
    const Layer layer = copy.OnlyLayer();
    EXPECT_EQ(layer.refusal, "MatMul 'a' and MatMul 'b' share it but have different zero points");
    EXPECT_FALSE(layer.quantization.has_value());
  }
}

// Halves of an int8 weight swapped along its rows, before or after the dequantization.
LayerGraph SwappedHalves(bool dequantized_first, const std::vector<std::int8_t>& zeros) {
  LayerGraph g;
  g.Weight("w", {4, 3}, DType::kInt8).Constant("z", Int8Vector(zeros));
  g.Constant("s", FloatVector(Floats(zeros.size(), 1)));
  g.Constant("0", IntVector({0})).Constant("2", IntVector({2})).Constant("4", IntVector({4}));
  const std::string whole = dequantized_first ? "dq.out" : "w";
  const Attributes rows = {{"axis", Int(0)}};
  if (dequantized_first) g.Node("dq", "DequantizeLinear", {"w", "s", "z"}, rows);
  g.Node("low", "Slice", {whole, "0", "2", "0"}).Node("high", "Slice", {whole, "2", "4", "0"});
  g.Node("swap", "Concat", {"high.out", "low.out"}, rows);
  if (!dequantized_first) g.Node("dq", "DequantizeLinear", {"swap.out", "s", "z"}, rows);
  g.Node("fc", "Gemm", {"x", dequantized_first ? "swap.out" : "dq.out"}, {{"transB", Int(1)}});
  return g;
}

TEST(SwappedIntegerWeights, KeepZeroPointsThatWereReadBefore) {
  ExpectQuantization(SwappedHalves(true, {1, 2, 3, 4}).OnlyLayer(), Along::kRow, {1, 1, 1, 1},
                     {1, 2, 3, 4});
  ExpectQuantization(SwappedHalves(false, {5}).OnlyLayer(), Along::kTensor, {1}, {5});
}

TEST(SwappedIntegerWeights, AreRefusedWithZeroPointsInTheNewOrder) {
  EXPECT_EQ(SwappedHalves(false, {1, 2, 3, 4}).OnlyLayer().refusal,
            "DequantizeLinear 'dq' has 4 scales for channels in another order");
}

}  // namespace
}  // namespace espalier
