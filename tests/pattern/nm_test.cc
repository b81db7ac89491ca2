#include "espalier/pattern/nm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/pattern/pattern_case.h"

namespace espalier {
namespace {

using testing::Make;
using testing::MaskOf;
using testing::PackedIndex;
using testing::WholeScores;
using Mask = std::vector<std::uint8_t>;

// By the definition: a weight stays if fewer than n of its group come before it, by score and then
// by channel.
Mask ReferenceMask(const std::vector<float>& scores, const PackedShape& shape, NmGroup nm) {
  Mask keep(scores.size());
  for (std::int64_t i = 0; i < shape.Elements(); ++i) {
    const std::int64_t line = i / shape.channels * shape.channels;
    const std::int64_t begin = line + (i - line) / nm.m * nm.m;
    const std::int64_t end = std::min(begin + nm.m, line + shape.channels);
    std::int64_t before = 0;
    for (std::int64_t j = begin; j < end; ++j) {
      before += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
    }
    keep[i] = before < nm.n;
  }
  return keep;
}

TEST(NmMask, EqualsTheDefinitionForAnyRatioTailAndShape) {
  for (const NmGroup nm : {NmGroup{1, 2}, NmGroup{1, 4}, NmGroup{2, 4}, NmGroup{3, 4},
                           NmGroup{3, 5}, NmGroup{4, 8}, NmGroup{7, 16}, NmGroup{65535, 65536}}) {
    const auto pattern = Make(std::to_string(nm.n) + ":" + std::to_string(nm.m));
    for (std::int64_t channels = 1; channels <= 19; ++channels) {
      const PackedShape shape{2, 3, 2, channels};
      // 0..5: many ties.
      const auto scores = WholeScores(shape.Elements(), 5, /*seed=*/channels);
      EXPECT_EQ(MaskOf(*pattern, scores, shape), ReferenceMask(scores, shape, nm))
          << pattern->Name() << " channels=" << channels;
    }
  }
}

TEST(NmMask, KeepsExactlyNOfEachFullGroupEvenOfZeros) {
  const auto pattern = Make("2:4");
  const PackedShape shape{1, 2, 3, 8};
  const auto keep = MaskOf(*pattern, std::vector<float>(48, 0.0f), shape);
  for (std::size_t i = 0; i < keep.size(); ++i) EXPECT_EQ(keep[i], i % 4 < 2) << i;
}

TEST(NmMask, OfATailKeepsAtMostN) {
  const auto pattern = Make("2:4");
  const std::vector<float> scores = {9, 1, 2, 3, 4, 5, 6};
  EXPECT_EQ(MaskOf(*pattern, {9, 1, 2, 3, 4}, {1, 1, 1, 5}), (Mask{1, 0, 0, 1, 1}));
  EXPECT_EQ(MaskOf(*pattern, {9, 1, 2, 3, 4, 5}, {1, 1, 1, 6}), (Mask{1, 0, 0, 1, 1, 1}));
  EXPECT_EQ(MaskOf(*pattern, scores, {1, 1, 1, 7}), (Mask{1, 0, 0, 1, 0, 1, 1}));
}

TEST(NmMask, KeepsTheLowerChannelOfEqualScores) {
  EXPECT_EQ(MaskOf(*Make("2:4"), {1, 3, 3, 3}, {1, 1, 1, 4}), (Mask{0, 1, 1, 0}));
  EXPECT_EQ(MaskOf(*Make("1:4"), {2, 5, 2, 5}, {1, 1, 1, 4}), (Mask{0, 1, 0, 0}));
}

TEST(NmMask, NeverLetsAGroupRunOverALineEnd) {
  // Two lines of 3: a group of 4 over both would keep the 9 and 8 of the second line only.
  EXPECT_EQ(MaskOf(*Make("2:4"), {1, 2, 3, 9, 8, 7}, {1, 2, 1, 3}), (Mask{0, 1, 1, 1, 1, 0}));
  EXPECT_EQ(MaskOf(*Make("2:4"), {1, 2, 3, 9, 8, 7}, {1, 1, 2, 3}), (Mask{0, 1, 1, 1, 1, 0}));
}

TEST(NmMask, OfNoChannelsOrNoRowsIsEmpty) {
  EXPECT_TRUE(MaskOf(*Make("2:4"), {}, {1, 3, 1, 0}).empty());
  EXPECT_TRUE(MaskOf(*Make("2:4"), {}, {0, 3, 1, 4}).empty());
  EXPECT_EQ(Make("2:4")->FindViolation({}, {1, 3, 1, 0}), std::nullopt);
}

TEST(NmViolation, OwnMasksHaveNone) {
  const auto pattern = Make("3:5");
  const PackedShape shape{2, 4, 3, 12};
  const auto scores = WholeScores(shape.Elements(), 100, /*seed=*/3);
  EXPECT_EQ(pattern->FindViolation(MaskOf(*pattern, scores, shape), shape), std::nullopt);
}

TEST(NmViolation, NamesRowOverAllGroupsPositionChannelAndCount) {
  const auto pattern = Make("2:4");
  const PackedShape shape{3, 5, 4, 11};
  for (std::int64_t row = 0; row < 15; ++row) {
    for (std::int64_t position = 0; position < 4; ++position) {
      for (const std::int64_t channel : {0, 4, 8}) {  // the last group has 3 channels
        Mask nonzero(shape.Elements(), 0);
        for (int c = 0; c < 3; ++c) nonzero[PackedIndex(shape, row, position, channel + c)] = 1;
        const auto found = pattern->FindViolation(nonzero, shape);
        ASSERT_TRUE(found.has_value()) << row << " " << position << " " << channel;
        EXPECT_EQ(found->row, row);
        EXPECT_EQ(found->position, position);
        EXPECT_EQ(found->channel, channel);
        EXPECT_EQ(found->nonzeros, 3);
      }
    }
  }
}

TEST(NmViolation, IsTheFirstOfSeveralInPackedOrder) {
  const PackedShape shape{1, 2, 2, 8};
  Mask nonzero(shape.Elements(), 0);
  for (const std::int64_t start : {PackedIndex(shape, 0, 1, 4), PackedIndex(shape, 1, 0, 0)}) {
    std::fill_n(nonzero.begin() + start, 4, std::uint8_t{1});
  }
  const auto found = Make("2:4")->FindViolation(nonzero, shape);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->row, 0);
  EXPECT_EQ(found->position, 1);
  EXPECT_EQ(found->channel, 4);
  EXPECT_EQ(found->nonzeros, 4);
}

TEST(NmViolation, AllowsNNonzerosAnywhereInAGroup) {
  EXPECT_EQ(Make("2:4")->FindViolation(Mask{0, 0, 1, 1, 1, 1, 0, 0}, {1, 1, 1, 8}), std::nullopt);
}

TEST(NmPattern, TellsWhatKernelsNeedToKnow) {
  const auto pattern = Make("4:8");
  EXPECT_EQ(pattern->kind(), Pattern::Kind::kPerGroup);
  ASSERT_TRUE(pattern->Nm().has_value());
  EXPECT_EQ(pattern->Nm()->n, 4);
  EXPECT_EQ(pattern->Nm()->m, 8);
  EXPECT_EQ(pattern->RowsPerBand(), 1);
  EXPECT_FALSE(pattern->IsElementwise());
  EXPECT_FALSE(pattern->IsTransposable24());
}

}  // namespace
}  // namespace espalier
