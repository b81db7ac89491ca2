#include "espalier/pattern/ranked.h"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <numeric>

#include "tests/pattern/pattern_case.h"

namespace espalier {
namespace {

using testing::Make;
using testing::PackedIndex;
using testing::UnitScores;
using testing::WeightsOfUnit;
using testing::WholeScores;
using Mask = std::vector<std::uint8_t>;

// Unit of a weight by the definition of block:RxC, without divisions over whole lines.
std::int64_t ReferenceUnit(const PackedShape& shape, std::int64_t rows, std::int64_t channels,
                           std::int64_t i) {
  const std::int64_t channel = i % shape.channels;
  const std::int64_t position = i / shape.channels % shape.positions;
  const std::int64_t row = i / shape.channels / shape.positions % shape.rows;
  const std::int64_t group = i / shape.channels / shape.positions / shape.rows;
  const std::int64_t bands = (shape.rows + rows - 1) / rows;
  const std::int64_t tiles = (shape.channels + channels - 1) / channels;
  return ((group * bands + row / rows) * shape.positions + position) * tiles + channel / channels;
}

void ExpectUnitsAsDefined(std::int64_t rows, std::int64_t channels, const PackedShape& shape) {
  SCOPED_TRACE(::testing::Message()
               << "block " << rows << "x" << channels << " of " << shape.groups << "x" << shape.rows
               << "x" << shape.positions << "x" << shape.channels);
  const auto pattern = Make("block:" + std::to_string(rows) + "x" + std::to_string(channels));
  const auto scores = WholeScores(shape.Elements(), 9, /*seed=*/5);
  const std::int64_t count = ReferenceUnit(shape, rows, channels, shape.Elements() - 1) + 1;
  ASSERT_EQ(pattern->UnitCount(shape), count);
  std::vector<float> sum(count), squares(count);
  std::vector<std::int64_t> size(count);
  for (std::int64_t i = 0; i < shape.Elements(); ++i) {
    const std::int64_t unit = ReferenceUnit(shape, rows, channels, i);
    sum[unit] += scores[i];
    squares[unit] += scores[i] * scores[i];
    ++size[unit];
  }
  for (float& value : squares) value = std::sqrt(value);  // float: correctly rounded, as ours is
  EXPECT_EQ(pattern->UnitSize(shape), *std::max_element(size.begin(), size.end()));
  EXPECT_EQ(UnitScores(*pattern, scores, shape), sum);
  EXPECT_EQ(UnitScores(*pattern, scores, shape, UnitNorm::kRootSumSquares), squares);
  for (std::int64_t unit = 0; unit < count; ++unit) {
    const Mask keep = WeightsOfUnit(*pattern, shape, unit);
    for (std::int64_t i = 0; i < shape.Elements(); ++i) {
      ASSERT_EQ(keep[i], ReferenceUnit(shape, rows, channels, i) == unit) << "weight " << i;
    }
  }
}

TEST(BlockPattern, CutsEachGroupAndPositionIntoTiles) {
  for (const auto& [rows, channels] : {std::pair{4, 1}, {1, 4}, {2, 2}, {3, 5}, {16, 1}}) {
    for (const PackedShape& shape :
         {PackedShape{1, 1, 1, 1}, PackedShape{1, 8, 1, 8}, PackedShape{1, 5, 1, 7},
          PackedShape{3, 2, 1, 3}, PackedShape{2, 5, 3, 6}}) {
      ExpectUnitsAsDefined(rows, channels, shape);
    }
  }
}

TEST(BlockPattern, TilesLargerThanTheWeightHoldOneGroupEach) {
  ExpectUnitsAsDefined(1024, 1024, {2, 3, 2, 4});
}

TEST(BlockPattern, TilesNeverSpanGroups) {
  const auto pattern = Make("block:4x1");
  const PackedShape shape{2, 3, 1, 1};  // 3 rows a group: a tile of 4 would reach into the next
  ASSERT_EQ(pattern->UnitCount(shape), 2);
  EXPECT_EQ(UnitScores(*pattern, {1, 2, 3, 10, 20, 30}, shape), (std::vector<float>{6, 60}));
  EXPECT_EQ(WeightsOfUnit(*pattern, shape, 0), (Mask{1, 1, 1, 0, 0, 0}));
}

TEST(BlockPattern, ScoresByEuclideanNormWhenAsked) {
  EXPECT_EQ(UnitScores(*Make("block:1x2"), {3, 4, 5, 12}, {1, 1, 1, 4}, UnitNorm::kRootSumSquares),
            (std::vector<float>{5, 13}));
}

TEST(BlockPattern, SumsBeyondFloatStayFinite) {
  EXPECT_EQ(UnitScores(*Make("block:1x2"), {FLT_MAX, FLT_MAX}, {1, 1, 1, 2}),
            (std::vector<float>{FLT_MAX}));
  EXPECT_EQ(
      UnitScores(*Make("channel"), {FLT_MAX, FLT_MAX}, {1, 1, 1, 2}, UnitNorm::kRootSumSquares),
      (std::vector<float>{FLT_MAX}));
}

TEST(BlockPattern, AddsInDoubleSoThatSmallScoresCount) {
  // In float, 2^24 + 1 is 2^24.
  const float big = 16777216.0f;
  EXPECT_EQ(UnitScores(*Make("block:1x4"), {big, 1, 1, 0}, {1, 1, 1, 4}),
            (std::vector<float>{big + 2}));
}

TEST(BlockPattern, TellsItsProperties) {
  const auto pattern = Make("block:4x2");
  EXPECT_EQ(pattern->kind(), Pattern::Kind::kRanked);
  EXPECT_EQ(pattern->RowsPerBand(), 4);
  EXPECT_FALSE(pattern->IsElementwise());
  EXPECT_EQ(pattern->Nm(), std::nullopt);
}

TEST(BlockPattern, OfNothingHasNoUnits) {
  EXPECT_EQ(Make("block:4x1")->UnitCount({0, 4, 1, 4}), 0);
  EXPECT_EQ(Make("block:4x1")->UnitCount({1, 0, 1, 4}), 0);
  EXPECT_EQ(Make("block:4x1")->UnitCount({1, 4, 1, 0}), 0);
}

TEST(UnstructuredPattern, MakesEachWeightAUnit) {
  const auto pattern = Make("unstructured");
  const PackedShape shape{2, 1, 2, 3};
  const auto scores = WholeScores(12, 99, /*seed=*/1);
  EXPECT_EQ(pattern->kind(), Pattern::Kind::kRanked);
  EXPECT_TRUE(pattern->IsElementwise());
  EXPECT_EQ(pattern->RowsPerBand(), 1);
  EXPECT_EQ(pattern->UnitCount(shape), 12);
  EXPECT_EQ(pattern->UnitSize(shape), 1);
  for (const UnitNorm norm : {UnitNorm::kSum, UnitNorm::kRootSumSquares}) {
    EXPECT_EQ(UnitScores(*pattern, scores, shape, norm), scores);
  }
  Mask wanted(12, 0);
  wanted[7] = 1;
  EXPECT_EQ(WeightsOfUnit(*pattern, shape, 7), wanted);
}

TEST(ChannelPattern, MakesEachOutputChannelAUnit) {
  const auto pattern = Make("channel");
  const PackedShape shape{2, 2, 2, 3};
  std::vector<float> scores(24);
  std::iota(scores.begin(), scores.end(), 0.0f);
  EXPECT_EQ(pattern->kind(), Pattern::Kind::kRanked);
  EXPECT_FALSE(pattern->IsElementwise());
  EXPECT_EQ(pattern->RowsPerBand(), 1);
  EXPECT_EQ(pattern->UnitCount(shape), 4);
  EXPECT_EQ(pattern->UnitSize(shape), 6);
  EXPECT_EQ(UnitScores(*pattern, scores, shape), (std::vector<float>{15, 51, 87, 123}));
  // 0 + 1 + 4 + 9 + 16 + 25 = 55
  EXPECT_FLOAT_EQ(UnitScores(*pattern, scores, shape, UnitNorm::kRootSumSquares)[0],
                  std::sqrt(55.0f));
  for (std::size_t row = 0; row < 4; ++row) {
    const Mask keep = WeightsOfUnit(*pattern, shape, row);
    for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(keep[i], i / 6 == row) << i;
  }
}

}  // namespace
}  // namespace espalier
