#include <gtest/gtest.h>

#include <chrono>

#include "tests/graph/layer_case.h"

// Weights that reach their layer in another form, and operators that are refused by name: none of
// them may be passed over in silence.
namespace espalier {
namespace {

using testing::Attributes;
using testing::FloatVector;
using testing::Int8Vector;
using testing::IntVector;
using testing::LayerGraph;
using testing::TensorOf;
using Along = Quantization::Along;

std::int64_t Int(std::int64_t value) { return value; }

LayerGraph& Reads(LayerGraph* g, const std::string& value) {
  g->Input("x", std::nullopt);
  return g->Node("fc", "MatMul", {"x", value});
}

TEST(ComputedWeights, OfEachOperatorAreListedAndRefused) {
  for (const char* op : {"Clip", "Tanh", "Where", "Sign", "my:Binarize", "LayerNormalization"}) {
    LayerGraph g;
    g.Weight("w", {4, 6}).Node("change", op, {"w", ""});
    Reads(&g, "change.out");
    const Layer layer = g.OnlyLayer();
    const std::string type = std::string(op).substr(std::string(op).find(':') + 1);
    EXPECT_EQ(layer.refusal, type + " 'change' computes with it");
    EXPECT_EQ(layer.name, "fc");
    EXPECT_EQ(layer.weight, "w");
    EXPECT_EQ(layer.readers, (std::vector<std::string>{"MatMul 'fc'"}));
  }
}

TEST(ComputedWeights, OfWeightNormalizationNameTheFirstStep) {
  LayerGraph g;
  g.Weight("v", {4, 6}).Weight("g", {4, 1}).Node("norm", "ReduceL2", {"v"});
  g.Node("div", "Div", {"v", "norm.out"}).Node("mul", "Mul", {"div.out", "g"});
  g.Node("t", "Transpose", {"mul.out"});
  Reads(&g, "t.out");
  const auto layers = g.Layers();
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_TRUE(layers[0].refusal == "ReduceL2 'norm' computes with it" ||
              layers[0].refusal == "Div 'div' computes with it")
      << layers[0].refusal;
  EXPECT_EQ(layers[1].weight, "g");
  EXPECT_EQ(layers[1].refusal, "Mul 'mul' computes with it");
}

TEST(ComputedWeights, AreFollowedOverEachOutputOfASplit) {
  for (const char* output : {"q", "k", "v"}) {
    LayerGraph g;
    g.Input("x", std::nullopt).Weight("in_proj", {12, 4});
    g.Add("Split", {"in_proj"}, {"q", "k", "v"}, {{"axis", Int(0)}});
    g.Node("fc", "Gemm", {"x", output}, {{"transB", Int(1)}});
    EXPECT_EQ(g.OnlyLayer().refusal, "Split of 'q' computes with it");
  }
}

TEST(ComputedWeights, AreRefusedBehindMovesToo) {
  LayerGraph g;
  g.Weight("w", {6, 4}).Node("t", "Transpose", {"w"}).Node("clip", "Clip", {"t.out"});
  Reads(&g, "clip.out");
  EXPECT_EQ(g.OnlyLayer().refusal, "Clip 'clip' computes with it");
}

TEST(ComputedWeights, ThatALayerAlsoReadsDirectlyAreRefused) {
  LayerGraph g;
  g.Weight("w", {4, 6}).Node("clip", "Clip", {"w"}).Node("other", "MatMul", {"y", "w"});
  Reads(&g, "clip.out");
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "Clip 'clip' computes with it");
  EXPECT_EQ(layer.readers, (std::vector<std::string>{"MatMul 'other'", "MatMul 'fc'"}));
}

TEST(ComputedWeights, ActivationsAreNot) {
  LayerGraph g;  // bias, table and mask meet an activation before they meet a product
  g.Input("x", Dims{2, 4}).Weight("bias", {1, 4}).Weight("table", {9, 4}).Weight("mask", {2, 4});
  g.Node("add", "Add", {"x", "bias"}).Node("rows", "Gather", {"table", "x"});
  g.Node("mul", "Mul", {"mask", "add.out"}).Node("sum", "Add", {"mul.out", "rows.out"});
  g.Weight("w", {4, 6}).Node("fc", "MatMul", {"sum.out", "w"});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.weight, "w");
  EXPECT_EQ(layer.refusal, "");
}

TEST(ComputedWeights, RandomOnesAndThoseOfSubgraphsAreNot) {
  for (const char* op : {"RandomNormalLike", "RandomUniformLike", "Bernoulli", "If"}) {
    LayerGraph g;
    g.Weight("w", {4, 6}).Node("make", op, {"w"});
    if (std::string(op) == "If") g.Subgraph("then_branch", g.AddScope(Scope::Kind::kSubgraph, 0));
    Reads(&g, "make.out");
    EXPECT_TRUE(g.Layers().empty()) << op;
  }
}

TEST(ComputedWeights, FactorsIndicesAndScalesAreNotListed) {
  LayerGraph g;
  g.Weight("w", {4, 6}).Constant("factor", FloatVector({1, 2, 3, 4, 5, 6}));
  g.Constant("ids", TensorOf(DType::kInt64, {2, 2}, Dims{0, 1, 2, 3}));
  g.Node("mul", "Mul", {"w", "factor"}).Node("gather", "Gather", {"mul.out", "ids"});
  Reads(&g, "gather.out");
  EXPECT_EQ(g.OnlyLayer().weight, "w");
  LayerGraph blocks;
  blocks.Weight("w", {4, 6}, DType::kInt8).Weight("scales", {2, 6});
  blocks.Node("dq", "DequantizeLinear", {"w", "scales"}, {{"block_size", Int(2)}});
  Reads(&blocks, "dq.out");
  EXPECT_EQ(blocks.OnlyLayer().weight, "w");
}

TEST(ComputedWeights, OfOneDimensionCountIfTheyAreCutOrJoined) {
  for (const char* op : {"Concat", "Slice", "Split", "Gather", "Exp"}) {
    LayerGraph g;
    g.Weight("flat", {24}).Constant("shape", IntVector({4, 6}));
    g.Node("part", op, {"flat", "shape"}).Node("reshape", "Reshape", {"part.out", "shape"});
    Reads(&g, "reshape.out");
    EXPECT_EQ(g.Layers().size(), std::string(op) == "Exp" ? 0u : 1u) << op;
  }
}

TEST(ComputedWeights, OfAnOuterScopeAreFound) {
  LayerGraph g;
  g.Input("x", std::nullopt).Weight("w", {4, 6}).Node("clip", "Clip", {"w"});
  const int branch = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Node("if", "If", {"c"}).Subgraph("then_branch", branch);
  g.Node("abs", "Abs", {"clip.out"}, {}, branch);
  g.Node("fc", "MatMul", {"x", "abs.out"}, {}, branch);
  EXPECT_EQ(g.OnlyLayer().refusal, "Clip 'clip' computes with it");
}

// Each of 20,000 constants is part of the weight; following each to the end takes minutes.
TEST(ComputedWeights, OfALongSumTakeLinearTime) {
  LayerGraph g;
  std::string sum = "w0";
  g.Weight("w0", {4, 6});
  for (int i = 1; i < 20'000; ++i) {
    const std::string name = fmt::format("w{}", i);
    g.Weight(name, {4, 6}).Node("add" + name, "Add", {sum, name});
    sum = "add" + name + ".out";
  }
  Reads(&g, sum);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(g.Layers().size(), 20'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(WeightsInSubgraphs, ThatEnterABodyAsAnInputAreRefused) {
  for (const char* op : {"Loop", "Scan"}) {
    LayerGraph g;
    const int body = g.AddScope(Scope::Kind::kSubgraph, 0);
    g.Weight("w", {4, 6}).Node("l", op, {"m", "c", "w"}).Subgraph("body", body);
    for (const char* input : {"i", "go", "inner"}) {
      g.graph().scopes[body].inputs.push_back({input, DType::kUnknown, std::nullopt});
    }
    g.Node("t", "Transpose", {"inner"}, {}, body).Node("fc", "MatMul", {"x", "t.out"}, {}, body);
    const Layer layer = g.OnlyLayer();
    EXPECT_EQ(layer.refusal, std::string("it enters the body of ") + op + " 'l' as an input");
    EXPECT_EQ(layer.name, "fc");
  }
}

TEST(WeightsInSubgraphs, StatesThatEnterABodyAreNone) {
  LayerGraph g;
  const int body = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Weight("h0", {1, 4}).Weight("w", {4, 4}).Node("l", "Loop", {"m", "c", "h0"});
  g.Subgraph("body", body);
  for (const char* input : {"i", "go", "h"}) {
    g.graph().scopes[body].inputs.push_back({input, DType::kUnknown, std::nullopt});
  }
  g.Node("fc", "MatMul", {"h", "w"}, {}, body);
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.weight, "w");
  EXPECT_EQ(layer.refusal, "");
}

TEST(WeightsInSubgraphs, ThatLeaveABranchAreRefused) {
  LayerGraph g;
  const int yes = g.AddScope(Scope::Kind::kSubgraph, 0);
  const int no = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Node("if", "If", {"c"}).Subgraph("then_branch", yes).Subgraph("else_branch", no);
  g.Weight("a", {4, 6}, DType::kFloat32, yes).Output("a", yes);
  g.Weight("b", {4, 6}, DType::kFloat32, no).Node("abs", "Abs", {"b"}, {}, no);
  g.Output("abs.out", no);
  Reads(&g, "if.out");
  const auto layers = g.Layers();
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].refusal, "it leaves a branch of If 'if' as an output");
  EXPECT_EQ(layers[1].refusal, "Abs 'abs' computes with it");
}

TEST(WeightsInSubgraphs, OfMalformedBodiesAreSurvived) {
  LayerGraph g;
  const int body = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Weight("w", {4, 6}).Node("few", "Loop", {"m", "c", "w"}).Subgraph("body", body);
  g.Node("gone", "Loop", {"m", "c", "w"}).Subgraph("body", 77).Node("none", "Scan", {"w"});
  g.graph().scopes[body].inputs.push_back({"w2", DType::kUnknown, std::nullopt});
  g.Node("self", "Loop", {"w2"}, {}, body).Subgraph("body", body, body);  // holds itself
  g.Node("enter", "Loop", {"w"}).Subgraph("body", body);
  EXPECT_TRUE(g.Layers().empty());
}

TEST(RefusedOperators, Einsum) {
  for (const int input : {0, 1, 2}) {
    LayerGraph g;
    std::vector<std::string> inputs = {"x", "y", "z"};
    inputs[input] = "w";
    g.Weight("w", {4, 6}).Node("e", "Einsum", inputs, {{"equation", std::string("ab,bc,cd")}});
    const Layer layer = g.OnlyLayer();
    EXPECT_EQ(layer.refusal, "Einsum 'e' is not supported");
    EXPECT_EQ(layer.name, "e");
  }
  LayerGraph none;
  none.Weight("v", {4}).Weight("ids", {4, 6}, DType::kInt64).Node("e", "Einsum", {"v", "ids"});
  EXPECT_TRUE(none.Layers().empty());
}

// The refusals of a node with weights at these inputs.
std::vector<std::string> RefusalsOf(const std::string& op, const std::vector<int>& weights,
                                    DType dtype, Attributes attributes = {}) {
  LayerGraph g;
  std::vector<std::string> inputs(12, "x");
  for (const int input : weights) {
    inputs[input] = fmt::format("w{}", input);
    g.Weight(inputs[input], {1, 4, 8}, dtype);
  }
  g.Node("n", op, inputs, std::move(attributes));
  std::vector<std::string> refusals;
  for (const Layer& layer : g.Layers()) refusals.push_back(layer.refusal);
  return refusals;
}

TEST(RefusedOperators, OfOnnxRuntime) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(RefusalsOf("com.microsoft:QAttention", {1}, DType::kInt8),
            Texts{"QAttention 'n' is not supported"});
  EXPECT_EQ(RefusalsOf("com.microsoft:DynamicQuantizeLSTM", {1, 2}, DType::kInt8),
            (Texts{"DynamicQuantizeLSTM 'n' is not supported",
                   "DynamicQuantizeLSTM 'n' is not supported"}));
  EXPECT_EQ(RefusalsOf("com.microsoft:MatMulNBits", {1}, DType::kUint8),
            Texts{"MatMulNBits 'n' packs its weight in blocks of bits, which is not supported"});
  EXPECT_EQ(RefusalsOf("com.microsoft:QLinearConv", {3}, DType::kInt8, {{"channels_last", Int(1)}}),
            Texts{"QLinearConv 'n' has its channels last, which is not supported"});
}

struct IntegerOperator {
  const char* op;
  int weight, scale, zero_point;
};

TEST(IntegerOperators, OfOnnxRuntimeReadScalesAndZeroPoints) {
  for (const auto& [op, weight, scale, zero_point] :
       {IntegerOperator{"QGemm", 3, 4, 5}, IntegerOperator{"DynamicQuantizeMatMul", 1, 2, 3},
        IntegerOperator{"MatMulIntegerToFloat", 1, 3, 5},
        IntegerOperator{"QLinearConv", 3, 4, 5}}) {
    SCOPED_TRACE(op);
    LayerGraph g;
    std::vector<std::string> inputs(9, "x");
    inputs[weight] = "w";
    inputs[scale] = "s";
    inputs[zero_point] = "z";
    const bool conv = std::string(op) == "QLinearConv";
    g.Weight("w", conv ? Dims{2, 3, 1, 1} : Dims{3, 2}, DType::kInt8);
    g.Constant("s", FloatVector({0.5f, 2})).Constant("z", Int8Vector({3, -4}));
    g.Node("n", std::string("com.microsoft:") + op, inputs);
    const Layer layer = g.OnlyLayer();
    ASSERT_EQ(layer.refusal, "");
    ASSERT_TRUE(layer.quantization.has_value());
    EXPECT_EQ(layer.quantization->along, Along::kRow);
    EXPECT_EQ(layer.quantization->scale, (std::vector<float>{0.5f, 2}));
    EXPECT_EQ(layer.quantization->zero_point, (std::vector<std::int32_t>{3, -4}));
    EXPECT_EQ(layer.view.out.size, 2);
    EXPECT_EQ(layer.view.in.size, 3);
  }
}

TEST(IntegerOperators, QGemmMayTransposeItsWeight) {
  LayerGraph g;
  g.Weight("w", {3, 2}, DType::kInt8).Constant("s", FloatVector({1}));
  g.Node("n", "com.microsoft:QGemm", {"x", "xs", "xz", "w", "s"}, {{"transB", Int(1)}});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(layer.view.out, (Axis{3, 2}));
  EXPECT_EQ(layer.view.in, (Axis{2, 1}));
}

// A float weight [3, 2] behind QuantizeLinear and DequantizeLinear.
LayerGraph Rounded(const std::string& q_zero, const std::string& dq_zero) {
  LayerGraph g;
  g.Weight("w", {3, 2}).Constant("s", FloatVector({0.5f, 2}));
  g.Constant("z", Int8Vector({0, 7})).Constant("other", Int8Vector({0, 0}));
  g.Weight("int16", {2}, DType::kInt16);
  g.Node("q", "QuantizeLinear", {"w", "s", q_zero}, {{"axis", Int(1)}});
  g.Node("dq", "DequantizeLinear", {"q.out", "s", dq_zero}, {{"axis", Int(1)}});
  g.Node("fc", "MatMul", {"x", "dq.out"});
  return g;
}

TEST(FakeQuantization, IsKnownOfFloatWeights) {
  const Layer layer = Rounded("z", "z").OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_FALSE(layer.quantization.has_value());
  ASSERT_TRUE(layer.fake_quantization.has_value());
  EXPECT_EQ(*layer.fake_quantization, (Quantization{Along::kRow, {0.5f, 2}, {0, 7}}));
  const Layer plain = Rounded("", "").OnlyLayer();
  ASSERT_TRUE(plain.fake_quantization.has_value());
  EXPECT_EQ(plain.fake_quantization->zero_point, (std::vector<std::int32_t>{0, 0}));
}

TEST(FakeQuantization, IsNotSetIfItCannotBeKnown) {
  for (const auto& [q, dq] : {std::pair<const char*, const char*>{"z", "other"},
                              {"x", "x"},
                              {"int16", "int16"},
                              {"z", "x"}}) {
    const Layer layer = Rounded(q, dq).OnlyLayer();
    EXPECT_EQ(layer.refusal, "") << q << " " << dq;
    EXPECT_FALSE(layer.fake_quantization.has_value()) << q << " " << dq;
  }
  LayerGraph two = Rounded("z", "z");  // the second reader sees the weight as it is
  two.Node("fc2", "MatMul", {"x", "w"});
  EXPECT_FALSE(two.OnlyLayer().fake_quantization.has_value());
}

TEST(FakeQuantization, IsNotSaidOfIntegerWeights) {
  LayerGraph g;
  g.Weight("w", {3, 2}, DType::kInt8).Constant("s", FloatVector({1}));
  g.Node("dq", "DequantizeLinear", {"w", "s"}).Node("fc", "MatMul", {"x", "dq.out"});
  const Layer layer = g.OnlyLayer();
  EXPECT_TRUE(layer.quantization.has_value());
  EXPECT_FALSE(layer.fake_quantization.has_value());
}

}  // namespace
}  // namespace espalier
