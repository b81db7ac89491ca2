#include "espalier/graph/shape_inference.h"

#include <gtest/gtest.h>

#include "tests/graph/graph_builder.h"

namespace espalier::testing {
namespace {

using IntList = std::vector<std::int64_t>;

constexpr auto kNone = std::nullopt;
constexpr std::int64_t kHuge = std::int64_t{1} << 50;

TEST(InferShapes, CountsUnknownInputDimensionsAsOneSample) {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 3, 0}).Input("unranked", std::nullopt).Add("Relu", {"x"}, {"y"});
  EXPECT_EQ(builder.DimsOf("y"), Dims({1, 3, 1}));
  EXPECT_EQ(builder.DimsOf("unranked"), kNone);
}

TEST(InferShapes, TrustsTheConstantOfAnInputThatIsOneToo) {
  GraphBuilder builder;
  builder.Input("w", Dims{-1, -1}).Constant("w", FloatVector({1, 2, 3})).Add("Relu", {"w"}, {"y"});
  EXPECT_EQ(builder.DimsOf("y"), Dims({3}));
}

TEST(InferShapes, UsesDeclaredShapesOnlyWhereRulesGiveLess) {
  GraphBuilder builder;
  builder.Input("x", Dims{2, 3})
      .Add("Relu", {"x"}, {"y"})
      .Declare("y", {7, 7})
      .Add("NonZero", {"x"}, {"n"})
      .Declare("n", {9, 5})
      .Add("custom:Thing", {"x"}, {"c"})
      .Declare("c", {-1, 8});
  EXPECT_EQ(builder.DimsOf("y"), Dims({2, 3}));
  EXPECT_EQ(builder.DimsOf("n"), Dims({2, 5}));
  EXPECT_EQ(builder.DimsOf("c"), Dims({-1, 8}));
}

TEST(InferShapes, LeavesAbsurdSizesUnknown) {
  EXPECT_EQ(Result("Relu", {Of({kHuge, 2})}), Dims({-1, 2}));
  EXPECT_EQ(Result("Relu", {Of(Dims(65, 1))}), kNone);
  EXPECT_EQ(Result("Relu", {Of(Dims(64, 1))}), Dims(64, 1));
  EXPECT_EQ(Result("Reshape", {Anything(), Ints({kHuge, 3})}), Dims({-1, 3}));
}

// An If with one Reshape in each branch of an outer value.
GraphBuilder TwoBranches(const Dims& yes, const Dims& no) {
  GraphBuilder builder;
  builder.Input("x", Dims{4, 6}).Add("If", {"condition"}, {"y"});
  for (const bool taken : {true, false}) {
    const int scope = builder.AddScope(Scope::Kind::kSubgraph, 0);
    builder.Subgraph(taken ? "then_branch" : "else_branch", scope)
        .Constant("target", IntVector(taken ? yes : no), scope)
        .Add("Reshape", {"x", "target"}, {"inner"}, {}, scope)
        .Output("inner", scope);
  }
  return builder;
}

TEST(InferShapes, AnIfHasWhatItsBranchesShare) {
  EXPECT_EQ(TwoBranches({3, 8}, {3, 8}).DimsOf("y"), Dims({3, 8}));
  EXPECT_EQ(TwoBranches({2, 4, 3}, {2, 3, 4}).DimsOf("y"), Dims({2, -1, -1}));
  EXPECT_EQ(TwoBranches({24}, {3, 8}).DimsOf("y"), kNone);
  EXPECT_EQ(TwoBranches({24}, {3, 8}).DimsOf("inner", 2), Dims({3, 8}));
}

TEST(InferShapes, AnIfWithAKnownConditionTakesItsBranch) {
  for (const bool taken : {true, false}) {
    GraphBuilder builder = TwoBranches({24}, {3, 8});
    builder.Constant("condition", TensorOf<std::uint8_t>(DType::kBool, {}, {taken}));
    EXPECT_EQ(builder.DimsOf("y"), taken ? Dims({24}) : Dims({3, 8}));
  }
}

// A Loop whose body runs `op` on the carried value and an outer one, and collects a row.
GraphBuilder LoopOver(const std::string& op, const Attributes& attributes) {
  GraphBuilder builder;
  builder.Input("x", Dims{4, 6}).Add("Loop", {"trips", "", "x"}, {"last", "all"});
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body)
      .Input("i", std::nullopt, body)
      .Input("go", std::nullopt, body)
      .Input("state", std::nullopt, body)
      .Output("go", body)
      .Output("next", body)
      .Output("row", body)
      .Add(op, {"state", "x"}, {"next"}, attributes, body)
      .Add("ReduceSum", {"x"}, {"row"}, {{"axes", IntList{0}}}, body);
  return builder;
}

TEST(InferShapes, ALoopKeepsTheShapesThatItsBodyKeeps) {
  const GraphBuilder builder = LoopOver("Add", {});
  EXPECT_EQ(builder.DimsOf("last"), Dims({4, 6}));
  EXPECT_EQ(builder.DimsOf("all"), Dims({-1, 1, 6}));
  EXPECT_EQ(builder.DimsOf("i", 1), Dims({}));
  EXPECT_EQ(builder.DimsOf("state", 1), Dims({4, 6}));
}

TEST(InferShapes, ALoopThatGrowsItsValueKnowsOnlyTheRest) {
  GraphBuilder builder = LoopOver("Concat", {{"axis", std::int64_t{0}}});
  EXPECT_EQ(builder.DimsOf("last"), Dims({-1, 6}));
  EXPECT_EQ(builder.DimsOf("state", 1), kNone);
  builder.graph().scopes[1].inputs[2].dims = Dims{-1, 6};
  EXPECT_EQ(builder.DimsOf("next", 1), Dims({-1, 6}));
}

TEST(InferShapes, AScanSeesOneStepOfItsSequences) {
  GraphBuilder builder;
  builder.Input("state", Dims{4}).Input("x", Dims{2, 9, 4});
  builder.Add("Scan", {"state", "x"}, {"last", "all"},
              {{"num_scan_inputs", std::int64_t{1}},
               {"scan_input_axes", IntList{1}},
               {"scan_output_axes", IntList{-1}}});
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body)
      .Input("s", std::nullopt, body)
      .Input("step", std::nullopt, body)
      .Output("s", body)
      .Output("sum", body)
      .Add("Add", {"s", "step"}, {"sum"}, {}, body);
  EXPECT_EQ(builder.DimsOf("step", body), Dims({2, 4}));
  EXPECT_EQ(builder.DimsOf("last"), Dims({4}));
  EXPECT_EQ(builder.DimsOf("all"), Dims({2, 4, 9}));
}

TEST(InferShapes, InfersFunctionsWithoutTheirCallers) {
  GraphBuilder builder;
  const int function = builder.AddScope(Scope::Kind::kFunction, -1);
  builder.Input("x", std::nullopt, function)
      .Constant("one", IntVector({3, 4}), function)
      .Add("Shape", {"one"}, {"s"}, {}, function)
      .Add("Relu", {"x"}, {"y"}, {}, function);
  EXPECT_EQ(builder.DimsOf("s", function), Dims({1}));
  EXPECT_EQ(builder.DimsOf("y", function), kNone);
}

TEST(InferShapes, SurvivesScopesThatContainThemselves) {
  GraphBuilder builder;
  builder.Input("x", Dims{2}).Add("If", {"x"}, {"y"});
  builder.Subgraph("then_branch", 0).Subgraph("else_branch", 99);
  const int circle = builder.AddScope(Scope::Kind::kSubgraph, 1);
  builder.Add("Relu", {"nowhere"}, {"z"}, {}, circle);
  EXPECT_EQ(builder.DimsOf("y"), kNone);
  EXPECT_EQ(builder.DimsOf("z", circle), kNone);
}

}  // namespace
}  // namespace espalier::testing
