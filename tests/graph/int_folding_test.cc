#include <gtest/gtest.h>

#include "tests/graph/graph_builder.h"

namespace espalier::testing {
namespace {

using IntList = std::vector<std::int64_t>;

constexpr auto kNone = std::nullopt;
const Arg kImage = Of({1, 3, 9, 8});

TEST(IntFolding, ResolvesShapeGatherConcatReshape) {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 6, 4, 5})
      .Constant("zero", IntScalar(0))
      .Constant("axes", IntVector({0}))
      .Constant("rest", IntVector({3, -1}))
      .Add("Shape", {"x"}, {"shape"})
      .Add("Gather", {"shape", "zero"}, {"batch"}, {{"axis", std::int64_t{0}}})
      .Add("Unsqueeze", {"batch", "axes"}, {"batch1"})
      .Add("Concat", {"batch1", "rest"}, {"target"}, {{"axis", std::int64_t{0}}})
      .Add("Reshape", {"x", "target"}, {"y"});
  EXPECT_EQ(builder.DimsOf("y"), Dims({1, 3, 40}));
}

TEST(IntFolding, KeepsKnownElementsBesideUnknownOnes) {
  GraphBuilder builder = OneNode("Shape", {Of({4, -1, 6})});
  EXPECT_EQ(Values(builder, "y0"), Dims({4, -1, 6}));
  builder.Constant("two", IntVector({2})).Add("Mul", {"y0", "two"}, {"double"});
  EXPECT_EQ(Values(builder, "double"), Dims({8, -1, 12}));
  builder.Add("test:Source", {}, {"mystery"}).Declare("mystery", {1});
  builder.Add("Concat", {"mystery", "two"}, {"both"}, {{"axis", std::int64_t{0}}});
  EXPECT_EQ(Values(builder, "both"), Dims({-1, 2}));
}

TEST(IntFolding, ComputesArithmeticAndLeavesOverflowUnknown) {
  const auto fold = [](const char* op, Dims a, Dims b) {
    return Values(OneNode(op, {Ints(a), Ints(b)}), "y0");
  };
  EXPECT_EQ(fold("Add", {1, INT64_MAX}, {2, 1}), Dims({3, -1}));
  EXPECT_EQ(fold("Sub", {7, INT64_MIN}, {2, 1}), Dims({5, -1}));
  EXPECT_EQ(fold("Mul", {7, INT64_MAX}, {2}), Dims({14, -1}));
  EXPECT_EQ(fold("Div", {7, -7, 7, INT64_MIN}, {2, -2, 0, -1}), Dims({3, 3, -1, -1}));
  EXPECT_EQ(fold("Mod", {7, -7, 7, INT64_MIN}, {4, 4, 0, -1}), Dims({3, 1, -1, 0}));
  EXPECT_EQ(fold("Max", {7, 1}, {4, 4}), Dims({7, 4}));
  EXPECT_EQ(fold("Min", {7, 1}, {4, 4}), Dims({4, 1}));
  EXPECT_EQ(fold("Add", {7, 1}, {4, 4, 4}), kNone);
}

TEST(IntFolding, SelectsByComparison) {
  GraphBuilder builder = OneNode("Equal", {Ints({1, -1, 5}), Ints({-1})});
  builder.Constant("yes", IntVector({10, 11, 12}))
      .Constant("no", IntVector({20, 21, 22}))
      .Add("Where", {"y0", "yes", "no"}, {"which"})
      .Add("Not", {"y0"}, {"not"})
      .Add("Cast", {"not"}, {"bits"}, {{"to", std::int64_t{7}}});
  EXPECT_EQ(Values(builder, "which"), Dims({20, 11, 22}));
  EXPECT_EQ(Values(builder, "bits"), Dims({1, 0, 1}));
}

TEST(IntFolding, GoesThroughFloatsBetweenCasts) {
  GraphBuilder builder = OneNode("Cast", {Ints({7, 10})}, {{"to", std::int64_t{1}}});
  builder.Constant("scale", FloatVector({1.5f}))
      .Add("Mul", {"y0", "scale"}, {"scaled"})
      .Add("Floor", {"scaled"}, {"low"})
      .Add("Ceil", {"scaled"}, {"high"})
      .Add("Cast", {"low"}, {"low_ints"}, {{"to", std::int64_t{7}}})
      .Add("Cast", {"high"}, {"high_ints"}, {{"to", std::int64_t{6}}});
  EXPECT_EQ(Values(builder, "low_ints"), Dims({10, 15}));
  EXPECT_EQ(Values(builder, "high_ints"), Dims({11, 15}));
}

TEST(IntFolding, MovesElementsOfMatrices) {
  // How PyTorch writes pads: [p0, p1, ...] -> [-1, 2] -> reversed rows -> transposed -> flat.
  GraphBuilder builder = OneNode("Reshape", {Ints({1, 2, 3, 4}), Ints({-1, 2})});
  builder.Constant("start", IntVector({-1}))
      .Constant("end", IntVector({INT64_MIN + 1}))
      .Constant("axis", IntVector({0}))
      .Constant("flat", IntVector({-1}))
      .Add("Slice", {"y0", "start", "end", "axis", "flat"}, {"reversed"})
      .Add("Transpose", {"reversed"}, {"turned"}, {{"perm", IntList{1, 0}}})
      .Add("Reshape", {"turned", "flat"}, {"pads"});
  EXPECT_EQ(Values(builder, "pads"), Dims({3, 1, 4, 2}));
}

TEST(IntFolding, CoversTheOtherSourcesOfIntegers) {
  EXPECT_EQ(Values(OneNode("Range", {Int(3), Int(9), Int(2)}), "y0"), Dims({3, 5, 7}));
  EXPECT_EQ(Values(OneNode("ConstantOfShape", {Ints({2})}, {{"value", IntVector({6})}}), "y0"),
            Dims({6, 6}));
  EXPECT_EQ(Values(OneNode("ReduceProd", {Ints({2, 3, 7})}), "y0"), Dims({42}));
  EXPECT_EQ(Values(OneNode("Expand", {Ints({5}), Ints({3})}), "y0"), Dims({5, 5, 5}));
  EXPECT_EQ(Values(OneNode("Shape", {kImage}, {{"start", std::int64_t{-2}}}), "y0"), Dims({9, 8}));
  EXPECT_EQ(Values(OneNode("Shape", {kImage}, {{"end", std::int64_t{2}}}), "y0"), Dims({1, 3}));
  EXPECT_EQ(Values(OneNode("Split", {Ints({4, 5, 6}), Ints({1, 2})}, {}, 2), "y1"), Dims({5, 6}));
  GraphBuilder size = OneNode("Size", {kImage});
  size.Constant("axis", IntVector({0})).Add("Unsqueeze", {"y0", "axis"}, {"sizes"});
  EXPECT_EQ(Values(size, "sizes"), Dims({216}));
  EXPECT_EQ(OneNode("NonZero", {Ints({1, 0, 1})}).DimsOf("y0"), Dims({1, 2}));
}

TEST(IntFolding, StopsAt4096Elements) {
  const auto doubled = [](std::int64_t size) {
    GraphBuilder builder;
    builder.Constant("x", IntVector(Dims(static_cast<std::size_t>(size), 2)))
        .Add("ReduceProd", {"x"}, {"y"}, {{"keepdims", std::int64_t{0}}})
        .Add("ReduceMax", {"x"}, {"max"});
    return Values(builder, "max");
  };
  EXPECT_EQ(doubled(4096), Dims({2}));
  EXPECT_EQ(doubled(4097), Dims({-1}));
}

}  // namespace
}  // namespace espalier::testing
