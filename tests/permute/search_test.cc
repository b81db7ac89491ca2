#include "espalier/permute/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "espalier/base/error.h"
#include "espalier/base/isa.h"
#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

struct Scores {
  Scores(std::int64_t row_count, std::int64_t col_count, unsigned seed)
      : rows(row_count), cols(col_count), values(static_cast<std::size_t>(rows * cols)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& value : values) value = std::abs(normal(random));
  }
  ScoreMatrix view() const { return {values, rows, cols}; }
  std::int64_t rows;
  std::int64_t cols;
  std::vector<float> values;
};

void ExpectPermutation(const PermuteResult& result, std::int64_t cols) {
  std::vector<std::uint32_t> sorted = result.order;
  std::ranges::sort(sorted);
  ASSERT_EQ(sorted.size(), static_cast<std::size_t>(cols));
  for (std::uint32_t i = 0; i < sorted.size(); ++i) ASSERT_EQ(sorted[i], i);
}

constexpr PermuteOptions kFast{.rounds = 400};

TEST(SearchPermutation, IsAPermutationThatNeverKeepsLess) {
  const NmGroup patterns[] = {{2, 4}, {1, 4}, {1, 2}, {4, 8}, {2, 6}, {5, 10}, {7, 8}, {4, 4}};
  for (const NmGroup& nm : patterns) {
    for (const std::int64_t groups : {1, 2, 3, 9}) {
      for (const std::int64_t rows : {1, 5, 40}) {
        const Scores scores(rows, groups * nm.m, static_cast<unsigned>(rows + groups));
        const PermuteResult result = SearchPermutation(scores.view(), nm, kFast);
        SCOPED_TRACE(testing::Message()
                     << nm.n << ":" << nm.m << ", " << rows << " x " << scores.cols);
        ExpectPermutation(result, scores.cols);
        EXPECT_GE(result.kept_after, result.kept_before);
        EXPECT_LE(result.kept_after, result.kept_bound + 1e-12);
        EXPECT_DOUBLE_EQ(result.kept_after, KeptShare(scores.view(), nm, result.order));
      }
    }
  }
}

// Columns that were in groups of two large and two small ones, spread at random.
TEST(SearchPermutation, FindsAPlantedOrderExactly) {
  Scores scores(32, 64, 3);
  std::vector<std::uint32_t> place(64);
  for (std::uint32_t i = 0; i < 64; ++i) place[i] = i;
  std::shuffle(place.begin(), place.end(), std::mt19937(5));
  for (std::int64_t r = 0; r < 32; ++r) {
    for (std::uint32_t c = 0; c < 64; ++c) {
      // In each group of four, two columns are large in even rows, the other two in odd ones.
      const bool large = (c % 4 < 2) == (r % 2 == 0);
      scores.values[static_cast<std::size_t>(r * 64 + place[c])] *= large ? 1.0f : 1e-4f;
    }
  }
  const PermuteResult result = SearchPermutation(scores.view(), {2, 4}, kFast);
  EXPECT_LT(result.kept_before, 0.95);
  EXPECT_GT(result.kept_after, 0.9998);
}

TEST(SearchPermutation, IsTheSameForAnyThreadsAndIsa) {
  const Scores scores(300, 128, 4);
  PermuteOptions options{.rounds = 60};
  const PermuteResult want = SearchPermutation(scores.view(), {2, 4}, options);
  EXPECT_GT(want.Efficacy(), 0.1);
  OnEachIsa([&] {
    for (const int threads : {1, 2, 3}) {
      options.threads = threads;
      EXPECT_EQ(SearchPermutation(scores.view(), {2, 4}, options).order, want.order);
    }
  });
  options.seed = 1;
  EXPECT_NE(SearchPermutation(scores.view(), {2, 4}, options).order, want.order);
}

TEST(SearchPermutation, BearsOutliersZerosAndTies) {
  Scores scores(16, 32, 6);
  scores.values[5] = 1e30f;
  scores.values[6] = 1e-30f;
  EXPECT_GE(SearchPermutation(scores.view(), {2, 4}, kFast).kept_after, 0.999);
  std::ranges::fill(scores.values, 0.0f);
  EXPECT_EQ(SearchPermutation(scores.view(), {2, 4}, kFast).kept_after, 1);
  std::ranges::fill(scores.values, 3.0f);
  const PermuteResult even = SearchPermutation(scores.view(), {2, 4}, kFast);
  EXPECT_DOUBLE_EQ(even.kept_after, 0.5);
  EXPECT_EQ(even.Efficacy(), 0);
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(even.order[i], i);
}

TEST(SearchPermutation, RefusesWhatIsNoMatrix) {
  const Scores scores(4, 8, 1);
  const auto refuses = [](const ScoreMatrix& matrix, const NmGroup& nm, const char* says) {
    try {
      SearchPermutation(matrix, nm);
      ADD_FAILURE() << "not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
  };
  refuses({scores.values, 4, 9}, {2, 4}, "32 scores");
  refuses({scores.values, 0, 0}, {2, 4}, "scores");
  refuses({scores.values, 4, 8}, {2, 3}, "groups of 3");
  refuses({scores.values, 4, 8}, {5, 4}, "keep 5");
  for (const float bad :
       {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Scores broken = scores;
    broken.values[13] = bad;
    refuses(broken.view(), {2, 4}, "row 1, column 5");
  }
}

}  // namespace
}  // namespace espalier
