#include "espalier/kernels/transposable_mask.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "espalier/pattern/transposable_masks.h"
#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

// Small integers tie often; the others have sums that round.
std::vector<float> MakeValues(std::size_t count, bool ties, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& v : values) {
    const auto r = static_cast<std::uint32_t>(random());
    v = ties ? static_cast<float>(r % 3) : static_cast<float>(r) * 0x1p-32f;
    if (r & 0x100) v = -v;  // gives -0.0 too
  }
  return values;
}

std::vector<std::uint32_t> Bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits(values.size());
  if (!values.empty()) std::memcpy(bits.data(), values.data(), values.size() * sizeof(float));
  return bits;
}

void ExpectPruneMatchesReference(std::size_t rows, std::size_t cols, bool ties) {
  const std::vector<float> original = MakeValues(rows * cols, ties, /*seed=*/7);
  std::vector<float> want = original;
  PruneTransposable24Reference(want.data(), rows, cols);
  std::vector<float> got = original;
  PruneTransposable24(got.data(), rows, cols);
  ASSERT_EQ(Bits(got), Bits(want)) << fmt::format("rows={} cols={} ties={}", rows, cols, ties);
}

void ExpectMaskMatchesReference(std::size_t rows, std::size_t cols, std::size_t stride, bool ties) {
  std::vector<float> scores = MakeValues(rows * stride, ties, /*seed=*/11);
  for (float& s : scores) s = std::fabs(s);
  std::vector<std::uint8_t> want(scores.size(), 7);  // 7: a byte outside must stay
  std::vector<std::uint8_t> got = want;
  MaskTransposable24Reference(scores.data(), rows, cols, stride, want.data());
  MaskTransposable24(scores.data(), rows, cols, stride, got.data());
  ASSERT_EQ(got, want) << fmt::format("rows={} cols={} stride={}", rows, cols, stride);
}

TEST(PruneTransposable24, MatchesReferenceAtEverySmallSizeOnEveryIsa) {
  OnEachIsa([] {
    for (std::size_t rows = 0; rows <= 9; ++rows) {
      for (std::size_t cols = 0; cols <= 37; ++cols) {
        ExpectPruneMatchesReference(rows, cols, true);
        ExpectPruneMatchesReference(rows, cols, false);
      }
    }
    for (const std::size_t cols : {63, 64, 65, 128, 131})
      ExpectPruneMatchesReference(8, cols, true);
  });
}

TEST(PruneTransposable24, MatchesReferenceOnManyTilesOnEveryIsa) {
  OnEachIsa([] {
    ExpectPruneMatchesReference(64, 1024, true);
    ExpectPruneMatchesReference(64, 1024, false);
  });
}

TEST(MaskTransposable24, WritesOnlyInsideTheMatrixOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t rows : {1, 4, 7, 8}) {
      for (const std::size_t cols : {1, 5, 16, 31, 32, 33, 64, 100}) {
        ExpectMaskMatchesReference(rows, cols, cols, false);
        ExpectMaskMatchesReference(rows, cols, cols + 3, true);
      }
    }
  });
}

TEST(PruneTransposable24, TakesTheFirstMaskWhenSumsOverflowOnEveryIsa) {
  OnEachIsa([] {
    std::vector<float> values(16 * 16, 3e38f);
    std::vector<float> want = values;
    PruneTransposable24Reference(want.data(), 16, 16);
    PruneTransposable24(values.data(), 16, 16);
    ASSERT_EQ(values, want);
    EXPECT_EQ(values[0], 3e38f);
    EXPECT_EQ(values[2], 0.0f);
  });
}

TEST(MaskTransposable24Reference, KeepsLowerIndicesOfAnEvenTile) {
  const std::vector<float> scores(16, 1.0f);
  std::vector<std::uint8_t> keep(16);
  MaskTransposable24Reference(scores.data(), 4, 4, 4, keep.data());
  EXPECT_EQ(keep, (std::vector<std::uint8_t>{1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1}));
}

// A tile whose largest sum is known: big exactly where a legal mask is, whatever the mask.
TEST(MaskTransposable24Reference, FindsEachOfTheNinetyMasks) {
  for (const auto& pairs : kTransposableMasks) {
    std::vector<float> scores(16);
    std::vector<std::uint8_t> want(16);
    for (unsigned i = 0; i < 16; ++i) {
      want[i] = (kPairMasks[pairs[i / 4]] >> (i % 4)) & 1;
      scores[i] = want[i] ? 2.0f : 1.0f;
    }
    std::vector<std::uint8_t> keep(16);
    MaskTransposable24Reference(scores.data(), 4, 4, 4, keep.data());
    EXPECT_EQ(keep, want);
  }
}

}  // namespace
}  // namespace espalier
