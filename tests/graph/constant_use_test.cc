#include "graph/constant_use.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "tests/graph/layer_case.h"

namespace espalier {
namespace {

using testing::Attributes;
using testing::Draw;
using testing::IntVector;
using testing::IsStrided;
using testing::LayerGraph;
using testing::NaiveReshape;
using testing::NaiveTranspose;
using testing::Numbered;
using testing::NumberedArray;
using testing::PackedConv;
using testing::PackedRightOperand;
using testing::PackedThrough;

// A weight on its way: the graph so far and, beside it, which element a node would see where.
struct Chain {
  LayerGraph g;
  std::string value = "w";
  NumberedArray seen;
  int steps = 0;

  explicit Chain(const Dims& dims, DType dtype = DType::kFloat32) : seen(Numbered(dims)) {
    g.Weight("w", dims, dtype).Input("x", std::nullopt);
    g.Constant("scale", testing::FloatVector({0.5f})).Constant("zero", testing::Int8Vector({0}));
  }
  void Step(const std::string& op, std::vector<std::string> more = {}, Attributes attributes = {}) {
    more.insert(more.begin(), value);
    const std::string name = fmt::format("step{}", steps++);
    g.Node(name, op, more, std::move(attributes));
    value = name + ".out";
  }
  std::string Ints(const Dims& ints) {
    const std::string name = fmt::format("ints{}", steps);
    g.Constant(name, IntVector(ints));
    return name;
  }
  void Transpose(const Dims& perm) {
    Step("Transpose", {}, {{"perm", perm}});
    seen = NaiveTranspose(seen, perm);
  }
  void Reshape(const Dims& written, const Dims& meant) {
    Step("Reshape", {Ints(written)});
    seen = NaiveReshape(seen, meant);
  }
  void Unsqueeze(std::int64_t axis) {
    Step("Unsqueeze", {Ints({axis})});
    Dims dims = seen.dims;
    dims.insert(dims.begin() + axis, 1);
    seen = NaiveReshape(seen, dims);
  }
  void Squeeze(std::int64_t axis) {
    Step("Squeeze", {Ints({axis})});
    Dims dims = seen.dims;
    dims.erase(dims.begin() + axis);
    seen = NaiveReshape(seen, dims);
  }
  void Flatten(std::int64_t axis) {
    Step("Flatten", {}, {{"axis", axis}});
    std::int64_t head = 1;
    for (std::int64_t i = 0; i < axis; ++i) head *= seen.dims[i];
    seen = NaiveReshape(seen, {head, ElementCount(seen.dims) / head});
  }
  // The layer of a MatMul with what is there now as its right operand.
  Layer MatMul() {
    g.Node("fc", "MatMul", {"x", value});
    return g.OnlyLayer();
  }
};

void ExpectMatMulReads(Chain* chain) {
  const Dims wanted = PackedRightOperand(chain->seen);
  const Layer layer = chain->MatMul();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(PackedThrough(layer.view), wanted);
}

TEST(WeightChain, SeesThroughIdentityCastAndQuantization) {
  Chain chain({3, 5});
  chain.Step("Identity");
  chain.Step("Cast", {}, {{"to", std::int64_t{10}}});
  chain.Step("CastLike", {"x"});
  chain.Step("QuantizeLinear", {"scale", "zero"});
  chain.Step("DequantizeLinear", {"scale", "zero"});
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, FollowsTransposes) {
  Chain chain({2, 3, 5});
  chain.Transpose({2, 0, 1});
  chain.Transpose({1, 2, 0});
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, TransposeWithoutPermReversesTheAxes) {
  Chain chain({2, 3, 5});
  chain.Step("Transpose");
  chain.seen = NaiveTranspose(chain.seen, {2, 1, 0});
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, FollowsReshapesThatSplitAndMergeAxes) {
  Chain chain({6, 4, 5});
  chain.Reshape({2, 3, 20}, {2, 3, 20});
  chain.Transpose({1, 0, 2});
  chain.Reshape({0, 0, 4, -1}, {3, 2, 4, 5});
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, ReadsOldReshapesFromTheirAttribute) {
  Chain chain({6, 4});
  chain.Step("Reshape", {}, {{"shape", Dims{3, 8}}});
  chain.seen = NaiveReshape(chain.seen, {3, 8});
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, FollowsSqueezeUnsqueezeAndFlatten) {
  Chain chain({1, 6, 1, 4});
  chain.Squeeze(2);
  chain.Unsqueeze(3);
  chain.Flatten(2);
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, SqueezeWithoutAxesDropsAllOnes) {
  for (const bool empty_input : {false, true}) {
    Chain chain({1, 6, 1, 4});
    chain.Step("Squeeze", empty_input ? std::vector<std::string>{""} : std::vector<std::string>());
    chain.seen = NaiveReshape(chain.seen, {6, 4});
    ExpectMatMulReads(&chain);
  }
}

TEST(WeightChain, TakesAxesOfOldOpsetsFromAttributesAndNegativeOnes) {
  Chain chain({1, 6, 4});
  chain.Step("Squeeze", {}, {{"axes", Dims{-3}}});
  chain.Step("Unsqueeze", {}, {{"axes", Dims{-1, 0}}});
  chain.Step("Squeeze", {}, {{"axes", Dims{3}}});
  chain.seen = NaiveReshape(chain.seen, {1, 6, 4});
  ExpectMatMulReads(&chain);
}

TEST(WeightChain, ReachesConvolutionsThroughReshapedLinearWeights) {
  Chain chain({4, 6});
  chain.Transpose({1, 0});
  chain.Reshape({6, 2, 2, 1}, {6, 2, 2, 1});
  chain.g.Node("conv", "Conv", {"x", chain.value}, {{"group", std::int64_t{3}}});
  const Layer layer = chain.g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(PackedThrough(layer.view), PackedConv(chain.seen));
}

// Draws 1 to 6 steps. Whatever comes out has to be read right, and may be refused only if no
// strided view can say it.
void RunRandomChain(std::uint64_t seed, int* followed, int* refused) {
  std::uint64_t draws = 0;
  const auto draw = [&](std::int64_t most) { return Draw(seed, &draws, most); };
  Chain chain({1 + draw(3), 1 + draw(3), 2 + 2 * draw(2)});
  bool strided = true;
  for (std::int64_t left = 1 + draw(5); left > 0; --left) {
    const auto rank = static_cast<std::int64_t>(chain.seen.dims.size());
    const std::int64_t axis = draw(rank - 1);
    const std::int64_t kind = draw(4);
    if (kind == 0) {
      Dims perm(rank);
      std::iota(perm.begin(), perm.end(), 0);
      std::rotate(perm.begin(), perm.begin() + axis, perm.end());
      std::swap(perm[0], perm[draw(rank - 1)]);
      chain.Transpose(perm);
    } else if (kind == 1 && rank < 6) {
      chain.Unsqueeze(draw(rank));
    } else if (kind == 2 && chain.seen.dims[axis] == 1 && rank > 1) {
      chain.Squeeze(axis);
    } else if (kind == 3) {
      chain.Flatten(draw(rank));
    } else if (chain.seen.dims[axis] % 2 == 0 && rank < 6) {
      Dims dims = chain.seen.dims;  // splits one axis in two
      dims[axis] /= 2;
      dims.insert(dims.begin() + axis, 2);
      chain.Reshape(dims, dims);
    }
    strided = strided && IsStrided(chain.seen);
  }
  const Dims wanted = PackedRightOperand(chain.seen);
  const Layer layer = chain.MatMul();
  if (layer.refusal.empty()) {
    EXPECT_EQ(PackedThrough(layer.view), wanted);
    ++*followed;
  } else {
    EXPECT_FALSE(strided) << "refused without need: " << layer.refusal;
    EXPECT_NE(layer.refusal.find("changes its layout in a way that cannot be followed"),
              std::string::npos)
        << layer.refusal;
    ++*refused;
  }
}

TEST(WeightChain, IsReadAsANaiveInterpreterReadsItOrRefusedForAReason) {
  int followed = 0, refused = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    RunRandomChain(seed, &followed, &refused);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(followed, 1000);
  EXPECT_GT(refused, 50);
}

// The gates of PyTorch's LSTM (i, f, g, o) in ONNX's order (i, o, f, g), as its exporter writes it.
LayerGraph ReorderedGates(std::int64_t axis, const Dims& dims) {
  LayerGraph g;
  g.Weight("w", dims).Input("x", std::nullopt).Constant("axis", IntVector({axis}));
  const std::int64_t hidden = dims[axis] / 4;
  std::vector<std::string> parts;
  for (const std::int64_t gate : {0, 3, 1, 2}) {
    const std::string name = fmt::format("gate{}", gate);
    g.Constant(name + ".begin", IntVector({gate * hidden}));
    g.Constant(name + ".end", IntVector({(gate + 1) * hidden}));
    g.Node(name, "Slice", {"w", name + ".begin", name + ".end", "axis"});
    parts.push_back(name + ".out");
  }
  g.Node("concat", "Concat", parts, {{"axis", axis}});
  return g;
}

TEST(ReorderedParts, OfOutputChannelsAreFollowed) {
  LayerGraph g = ReorderedGates(0, {8, 3});
  g.Constant("zero axis", IntVector({0}));
  g.Node("unsqueeze", "Unsqueeze", {"concat.out", "zero axis"});
  g.Node("lstm", "LSTM", {"x", "unsqueeze.out", "r"});
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(layer.name, "lstm:W");
  // Rows of the stored tensor; which gate they are does not matter to a pattern along inputs.
  EXPECT_EQ(layer.view.out, (Axis{8, 3}));
  EXPECT_EQ(layer.view.in, (Axis{3, 1}));
  EXPECT_EQ(layer.output_run, 2);  // four gates of two rows
}

TEST(ReorderedParts, AreNotSaidOfOthers) {
  LayerGraph g;
  g.Weight("w", {8, 3}).Node("fc", "MatMul", {"x", "w"});
  EXPECT_EQ(g.OnlyLayer().output_run, 0);
}

TEST(ReorderedParts, OfInputChannelsAreRefused) {
  LayerGraph g = ReorderedGates(1, {3, 8});
  g.Node("fc", "Gemm", {"x", "concat.out"}, {{"transB", std::int64_t{1}}});
  EXPECT_EQ(g.OnlyLayer().refusal, "Gemm 'fc' sees its input channels in another order");
}

TEST(ReorderedParts, ThatEndUpInInputChannelsAreRefused) {
  LayerGraph g = ReorderedGates(0, {8, 3});
  g.Constant("shape", IntVector({24}));
  g.Node("reshape", "Reshape", {"concat.out", "shape"});
  g.Node("dot", "MatMul", {"x", "reshape.out"});
  EXPECT_EQ(g.OnlyLayer().refusal, "MatMul 'dot' sees its input channels in another order");
}

// Swaps the first 2 and the last 2 of 4 along `axis`.
std::string Swap(LayerGraph* g, const std::string& value, std::int64_t axis) {
  const std::string name = fmt::format("{} along {} ", value, axis);
  for (const std::int64_t at : {0, 2, 4}) {
    g->Constant(fmt::format("{}{}", name, at), IntVector({at}));
  }
  g->Constant(name + "axis", IntVector({axis}));
  g->Node(name + "low", "Slice", {value, name + "0", name + "2", name + "axis"});
  g->Node(name + "high", "Slice", {value, name + "2", name + "4", name + "axis"});
  g->Node(name + "swap", "Concat", {name + "high.out", name + "low.out"}, {{"axis", axis}});
  return name + "swap.out";
}

TEST(ReorderedParts, OfBothAxesOneAfterTheOtherAreRefused) {
  for (const std::int64_t first : {0, 1}) {
    LayerGraph g;
    g.Weight("w", {4, 4});
    g.Node("fc", "MatMul", {"x", Swap(&g, Swap(&g, "w", first), 1 - first)});
    EXPECT_EQ(g.OnlyLayer().refusal, "MatMul 'fc' sees its input channels in another order");
  }
}

TEST(ReorderedParts, HaveToBeWhole) {
  LayerGraph g = ReorderedGates(0, {8, 3});
  g.graph().scopes[0].nodes.back().inputs.pop_back();  // one gate is left out
  g.Node("fc", "Gemm", {"x", "concat.out"}, {{"transB", std::int64_t{1}}});
  const Layer layer = g.OnlyLayer();
  EXPECT_NE(layer.refusal, "");
  EXPECT_EQ(layer.readers, (std::vector<std::string>{"Slice 'gate2'", "Gemm 'fc'"}));
}

TEST(ReorderedParts, HaveToBeJoinedAlongTheirOwnAxis) {
  LayerGraph g = ReorderedGates(0, {8, 3});
  g.graph().scopes[0].nodes.back().attributes["axis"] = std::int64_t{1};
  g.Node("fc", "Gemm", {"x", "concat.out"});
  const Layer layer = g.OnlyLayer();
  EXPECT_NE(layer.refusal.find("computes with it"), std::string::npos) << layer.refusal;
}

TEST(ReorderedParts, ReadByAnotherNodeTooAreRefused) {
  LayerGraph g = ReorderedGates(0, {8, 3});
  g.Node("fc", "Gemm", {"x", "concat.out"}, {{"transB", std::int64_t{1}}});
  g.Node("relu", "Relu", {"gate3.out"});
  EXPECT_EQ(g.OnlyLayer().refusal, "Slice 'gate3' computes with it");
}

// Rows in reverse order; `whole`: all of them.
LayerGraph Rows(std::int64_t rows, bool whole) {
  LayerGraph g;
  g.Weight("w", {rows, 4}).Constant("axis", IntVector({0}));
  std::vector<std::string> parts;
  for (std::int64_t row = rows; row-- > (whole ? 0 : 1);) {
    const std::string name = fmt::format("row{}", row);
    g.Constant(name + ".begin", IntVector({row})).Constant(name + ".end", IntVector({row + 1}));
    g.Node(name, "Slice", {"w", name + ".begin", name + ".end", "axis"});
    parts.push_back(name + ".out");
  }
  g.Node("concat", "Concat", parts, {{"axis", std::int64_t{0}}});
  g.Node("fc", "Gemm", {"x", "concat.out"}, {{"transB", std::int64_t{1}}});
  return g;
}

// 20,000 parts took minutes when each Slice looked at the whole Concat.
TEST(ReorderedParts, OfManyPiecesTakeLinearTime) {
  for (const bool whole : {true, false}) {
    LayerGraph g = Rows(20'000, whole);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(g.OnlyLayer().refusal.empty(), whole);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    RecordProperty(whole ? "whole" : "part", fmt::format("{}", spent.count()));
    EXPECT_LT(spent.count(), 5);  // 0.6 s on a busy machine; room for sanitizers
  }
}

TEST(WeightChain, EndsInACycle) {
  LayerGraph g;
  g.Weight("w", {4, 4}).Add("Identity", {"w"}, {"w"});
  g.Node("fc", "MatMul", {"x", "w"});
  EXPECT_EQ(g.OnlyLayer().refusal, "");
  LayerGraph two;
  two.Weight("w", {4, 4}).Add("Identity", {"w"}, {"a"});
  two.Add("Transpose", {"b"}, {"a"}).Add("Transpose", {"a"}, {"b"});
  two.Node("fc", "MatMul", {"x", "b"});
  EXPECT_EQ(two.Layers().size(), 1u);
}

TEST(WeightChain, Of100000NodesIsFollowedWithoutRecursion) {
  Chain chain({4, 6});
  for (int i = 0; i < 50'000; ++i) {
    chain.Step("Identity");
    chain.Step("Transpose", {}, {{"perm", Dims{1, 0}}});
  }
  ExpectMatMulReads(&chain);
}

TEST(Reshaped, RefusesOtherElementCountsAndGaps) {
  const StridedArray array = ContiguousArray({4, 6});
  EXPECT_FALSE(Reshaped(array, {5, 5}).has_value());
  EXPECT_FALSE(Reshaped(*Transposed(array, {1, 0}), {24}).has_value());
  EXPECT_FALSE(Reshaped(*Transposed(array, {1, 0}), {8, 3}).has_value());
}

TEST(Reshaped, KeepsTensorsWithoutElements) {
  const auto empty = Reshaped(ContiguousArray({0, 4}), {1, 0, 4});
  ASSERT_TRUE(empty.has_value());
  EXPECT_EQ(empty->dims, (Dims{1, 0, 4}));
}

TEST(Reshaped, OfAScalarHasOnlyOnes) {
  const auto ones = Reshaped(ContiguousArray({}), {1, 1});
  ASSERT_TRUE(ones.has_value());
  EXPECT_EQ(ones->dims, (Dims{1, 1}));
  EXPECT_TRUE(Reshaped(*ones, {}).has_value());
}

TEST(Transposed, RefusesWhatIsNoPermutation) {
  const StridedArray array = ContiguousArray({4, 6});
  for (const Dims& order : {Dims{0}, Dims{0, 0}, Dims{0, 2}, Dims{-1, 0}, Dims{0, 1, 2}, Dims{}}) {
    EXPECT_FALSE(Transposed(array, order).has_value());
  }
}

// One branch of an If reads an outer weight.
TEST(WeightScopes, ABranchReadsAnOuterWeight) {
  LayerGraph g;
  const int branch = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Weight("w", {4, 6}).Weight("later", {4, 4});
  g.Node("if", "If", {"c"}).Subgraph("then_branch", branch);
  g.Node("t", "Transpose", {"w"}, {}, branch).Node("fc", "MatMul", {"x", "t.out"}, {}, branch);
  g.Node("fc2", "MatMul", {"x", "later"});
  const auto layers = g.Layers();
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].name, "fc");  // the branch runs before fc2
  EXPECT_EQ(layers[0].refusal, "");
  EXPECT_EQ(PackedThrough(layers[0].view),
            PackedRightOperand(NaiveTranspose(Numbered({4, 6}), {1, 0})));
}

TEST(WeightScopes, BothBranchesShareAnOuterWeight) {
  LayerGraph g;
  const int yes = g.AddScope(Scope::Kind::kSubgraph, 0);
  const int no = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Weight("w", {4, 6}).Node("if", "If", {"c"});
  g.Subgraph("then_branch", yes).Subgraph("else_branch", no);
  g.Node("a", "MatMul", {"x", "w"}, {}, yes).Node("b", "MatMul", {"x", "w"}, {}, no);
  const Layer layer = g.OnlyLayer();
  EXPECT_EQ(layer.refusal, "");
  EXPECT_EQ(layer.readers.size(), 2u);
}

TEST(WeightScopes, ANameOfTheBranchHidesTheOuterOne) {
  for (const bool as_constant : {true, false}) {
    LayerGraph g;
    const int branch = g.AddScope(Scope::Kind::kSubgraph, 0);
    g.Weight("w", {4, 6}).Node("if", "If", {"c"}).Subgraph("then_branch", branch);
    if (as_constant) {
      g.Weight("w", {4, 8}, DType::kFloat32, branch);
    } else {
      g.Add("Relu", {"x"}, {"w"}, {}, branch);
    }
    g.Node("fc", "MatMul", {"x", "w"}, {}, branch);
    const auto layers = g.Layers();
    ASSERT_EQ(layers.size(), as_constant ? 1u : 0u);
    if (as_constant) {
      EXPECT_EQ(layers[0].shape, (Dims{4, 8}));
    }
  }
}

TEST(WeightScopes, AFunctionDoesNotSeeOuterNames) {
  LayerGraph g;
  const int function = g.AddScope(Scope::Kind::kFunction, -1);
  g.Weight("w", {4, 6}).Node("fc", "MatMul", {"x", "w"}, {}, function);
  EXPECT_TRUE(g.Layers().empty());
}

TEST(WeightScopes, ABranchThatReturnsTheWeightIsAnObstacle) {
  LayerGraph g;
  const int branch = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Weight("w", {4, 6}).Node("if", "If", {"c"}).Subgraph("then_branch", branch);
  g.Output("w", branch).Node("fc", "MatMul", {"x", "w"});
  EXPECT_EQ(g.OnlyLayer().refusal, "it is an output of the graph");
}

TEST(WeightScopes, MalformedOnesAreSurvived) {
  LayerGraph g;
  const int a = g.AddScope(Scope::Kind::kSubgraph, 0);
  g.Weight("w", {4, 6})
      .Weight("lost", {4, 4}, DType::kFloat32, 99)
      .Weight("neg", {4, 4}, DType::kFloat32, -5);
  g.Node("if", "If", {"c"}).Subgraph("then_branch", a).Subgraph("else_branch", 77);
  g.Node("inner", "If", {"c"}, {}, a).Subgraph("then_branch", a, a);  // holds itself
  g.Node("fc", "MatMul", {"nowhere", "w"}, {}, a);
  g.graph().scopes[0].parent = a;  // a circle of parents
  EXPECT_EQ(g.Layers().size(), 1u);
}

TEST(ConstantUses, LeaveOutNodesThatAskForTheShapeOnly) {
  LayerGraph g;
  g.Weight("w", {4, 6}).Node("shape", "Shape", {"w"}).Node("size", "Size", {"w"});
  g.Node("fc", "MatMul", {"x", "w"});
  EXPECT_EQ(g.OnlyLayer().refusal, "");
  EXPECT_EQ(ConstantUses(g.graph()).Of(0).size(), 1u);
}

TEST(ConstantUses, SayWhichInputReadsAndHowItIsSeen) {
  LayerGraph g;
  g.Weight("w", {4, 6}).Node("t", "Transpose", {"w"}).Node("fc", "MatMul", {"x", "t.out"});
  const auto uses = ConstantUses(g.graph()).Of(0);
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].input, 1);
  EXPECT_EQ(uses[0].node->name, "fc");
  EXPECT_EQ(uses[0].array.dims, (Dims{6, 4}));
  EXPECT_EQ(uses[0].array.strides, (Dims{1, 6}));
  EXPECT_EQ(uses[0].obstacle, "");
}

}  // namespace
}  // namespace espalier
