#include "espalier/base/weight_view.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "espalier/base/error.h"

namespace espalier {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

std::string FailureOf(const Dims& dims) {
  try {
    return "no error, count " + std::to_string(ElementCount(dims));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadFile);
    return error.what();
  }
}

TEST(DimsText, JoinsWithXAndMarksUnknownOnes) {
  EXPECT_EQ(DimsText({}), "scalar");
  EXPECT_EQ(DimsText({7}), "7");
  EXPECT_EQ(DimsText({64, 3, 3, 3}), "64x3x3x3");
  EXPECT_EQ(DimsText({-1, 0}), "?x0");
}

TEST(ElementCount, IsTheProduct) {
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount({5}), 5);
  EXPECT_EQ(ElementCount({64, 3, 3, 3}), 1728);
}

TEST(ElementCount, IsZeroIfOneDimensionIs) {
  EXPECT_EQ(ElementCount({0}), 0);
  EXPECT_EQ(ElementCount({std::int64_t{1} << 62, 0}), 0);
  EXPECT_EQ(ElementCount({4, 0, 4}), 0);
}

TEST(ElementCount, ReachesTwoToThe62AndNoFurther) {
  EXPECT_EQ(ElementCount({std::int64_t{1} << 31, std::int64_t{1} << 31}), std::int64_t{1} << 62);
  EXPECT_NE(FailureOf({std::int64_t{1} << 31, std::int64_t{1} << 31, 2}).find("2^62"),
            std::string::npos);
  EXPECT_NE(FailureOf({kHuge}).find(std::to_string(kHuge)), std::string::npos);
  EXPECT_NE(FailureOf({4294967296, 4294967296}).find("4294967296x4294967296"), std::string::npos);
  // A zero afterwards does not excuse a product that no buffer could have had.
  EXPECT_NE(FailureOf({kHuge, kHuge, 0}).find("2^62"), std::string::npos);
}

TEST(ElementCount, RefusesNegativeDimensions) {
  EXPECT_NE(FailureOf({3, -2}).find("-2"), std::string::npos);
  EXPECT_NE(FailureOf({0, -7}).find("-7"), std::string::npos);
}

WeightView ConvKcrs() { return {{}, {64, 288}, {32, 9}, {{3, 3}, {3, 1}}}; }

TEST(WeightView, CountsRowsPositionsAndElements) {
  WeightView view = ConvKcrs();
  EXPECT_EQ(view.GroupCount(), 1);
  EXPECT_EQ(view.PositionCount(), 9);
  EXPECT_EQ(view.Rows(), 64);
  EXPECT_EQ(view.Elements(), 64 * 32 * 9);
  view.groups = {{2, 18432}, {5, 36864}};
  EXPECT_EQ(view.GroupCount(), 10);
  EXPECT_EQ(view.Rows(), 640);
  EXPECT_EQ(view.Elements(), 640 * 32 * 9);
}

TEST(WeightView, LinearRowMajorIsPackedAndItsTransposeIsNot) {
  const WeightView rows{{}, {8, 16}, {16, 1}, {}};
  EXPECT_TRUE(rows.IsPacked());
  const WeightView transposed{{}, {8, 1}, {16, 8}, {}};
  EXPECT_FALSE(transposed.IsPacked());
}

TEST(WeightView, ConvIsPackedOnlyWithOnePositionOrChannelsLast) {
  EXPECT_FALSE(ConvKcrs().IsPacked());
  const WeightView pointwise{{}, {64, 32}, {32, 1}, {{1, 1}, {1, 1}}};
  EXPECT_TRUE(pointwise.IsPacked());
  const WeightView krsc{{}, {64, 288}, {32, 1}, {{3, 96}, {3, 32}}};
  EXPECT_TRUE(krsc.IsPacked());
}

TEST(WeightView, StrideOfASingleStepDoesNotMatter) {
  const WeightView depthwise{{{16, 9}}, {1, 77}, {1, 9}, {{3, 3}, {3, 1}}};
  EXPECT_TRUE(depthwise.IsPacked());
}

TEST(WeightView, GroupsMustFollowEachOther) {
  WeightView view{{{2, 128}}, {8, 16}, {16, 1}, {}};
  EXPECT_TRUE(view.IsPacked());
  view.groups[0].stride = 256;
  EXPECT_FALSE(view.IsPacked());
}

TEST(PackedShapeOf, NamesTheFourSizes) {
  WeightView view = ConvKcrs();
  view.groups = {{2, 18432}};
  EXPECT_EQ(PackedShapeOf(view), (PackedShape{2, 64, 9, 32}));
  EXPECT_EQ(PackedShapeOf(view).Elements(), view.Elements());
}

}  // namespace
}  // namespace espalier
