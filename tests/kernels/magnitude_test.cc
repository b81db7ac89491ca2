#include "espalier/kernels/magnitude.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

constexpr std::size_t kSizes[] = {0,  1,  2,   7,    8,    15,   16,   17,   31,   33,
                                  63, 65, 127, 1000, 4095, 4096, 4097, 4111, 8192, 10007};

// A quarter zeros (half of them -0.0), the rest normal numbers of both signs and subnormals.
std::vector<float> MakeFloats(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& v : values) {
    const auto r = static_cast<std::uint32_t>(random());
    const auto fraction = static_cast<float>(random()) * 0x1p-32f;
    v = (r & 3) == 0 ? 0.0f : (r & 60) == 0 ? fraction * 0x1p-130f : fraction;
    if (r & 64) v = -v;
  }
  return values;
}

std::vector<std::uint32_t> MakeKeys(std::size_t count, std::uint32_t seed) {
  std::vector<std::uint32_t> bits;
  for (const float v : MakeFloats(count, seed)) bits.push_back(std::bit_cast<std::uint32_t>(v));
  return bits;
}

void ExpectSame(const MagnitudeStats& got, const MagnitudeStats& want, std::size_t count) {
  EXPECT_EQ(std::bit_cast<std::uint64_t>(got.sum), std::bit_cast<std::uint64_t>(want.sum))
      << fmt::format("count={}: sum {} instead of {}", count, got.sum, want.sum);
  EXPECT_EQ(got.zeros, want.zeros) << "count=" << count;
  EXPECT_EQ(got.finite, want.finite) << "count=" << count;
}

TEST(MeasureMagnitudes, MatchesReferenceOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t count : kSizes) {
      const std::vector<float> values = MakeFloats(count, /*seed=*/5);
      ExpectSame(MeasureMagnitudes(values.data(), count),
                 MeasureMagnitudesReference(values.data(), count), count);
    }
  });
}

// Every 16-bit pattern, in both halves: with and without the infinities and NaNs.
TEST(MeasureMagnitudes, MatchesReferenceOnEvery16BitPatternOnEveryIsa) {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  std::vector<std::uint16_t> half, bfloat;
  for (const std::uint16_t bits : all) {
    if ((bits & 0x7C00) != 0x7C00) half.push_back(bits);
    if ((bits & 0x7F80) != 0x7F80) bfloat.push_back(bits);
  }
  OnEachIsa([&] {
    for (const auto* bits : {&all, &half}) {
      ExpectSame(MeasureHalfMagnitudes(bits->data(), bits->size()),
                 MeasureHalfMagnitudesReference(bits->data(), bits->size()), bits->size());
    }
    for (const auto* bits : {&all, &bfloat}) {
      ExpectSame(MeasureBFloat16Magnitudes(bits->data(), bits->size()),
                 MeasureBFloat16MagnitudesReference(bits->data(), bits->size()), bits->size());
    }
    for (const std::uint16_t& one : half) {  // each alone, so that no sum hides a wrong value
      const MagnitudeStats got = MeasureHalfMagnitudes(&one, 1);
      ASSERT_EQ(got.sum, MeasureHalfMagnitudesReference(&one, 1).sum) << one;
    }
  });
}

TEST(MeasureMagnitudes, SeesOneBadElementAnywhereOnEveryIsa) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  OnEachIsa([] {
    for (const float bad : {kInfinity, -kInfinity, kNan, -kNan}) {
      for (const std::size_t at : {0, 5, 17, 4095, 4096, 4099}) {
        std::vector<float> values = MakeFloats(4100, /*seed=*/6);
        values[at] = bad;
        const MagnitudeStats stats = MeasureMagnitudes(values.data(), values.size());
        EXPECT_FALSE(stats.finite) << bad << " at " << at;
        EXPECT_EQ(stats.sum, 0) << bad << " at " << at;
      }
    }
  });
}

// The promise of the header: 256 additions a lane and block, each off by 2^-24 at most.
TEST(MeasureMagnitudes, SumIsWithinTheDocumentedErrorOfTheExactSum) {
  const std::vector<float> values = MakeFloats(100003, /*seed=*/9);
  long double exact = 0;
  std::uint64_t zeros = 0;
  for (const float v : values) {
    exact += std::fabs(static_cast<long double>(v));
    zeros += v == 0.0f ? 1 : 0;
  }
  const MagnitudeStats stats = MeasureMagnitudes(values.data(), values.size());
  EXPECT_NEAR(stats.sum, static_cast<double>(exact), static_cast<double>(exact) * 0x1p-15);
  EXPECT_EQ(stats.zeros, zeros);
}

using Histogram = std::array<std::uint64_t, 2048>;

void ExpectSameHistogram(const std::vector<std::uint32_t>& bits, int shift, std::uint32_t prefix) {
  Histogram want = {};
  want[3] = 10;  // what is there is added to
  Histogram got = want;
  AddKeyHistogramReference(bits.data(), bits.size(), shift, prefix, want.data());
  AddKeyHistogram(bits.data(), bits.size(), shift, prefix, got.data());
  ASSERT_EQ(got, want) << fmt::format("count={} shift={} prefix={}", bits.size(), shift, prefix);
}

TEST(AddKeyHistogram, MatchesReferenceForEachDigitOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t count : kSizes) {
      const std::vector<std::uint32_t> bits = MakeKeys(count, /*seed=*/2);
      ExpectSameHistogram(bits, 20, 0);
      ExpectSameHistogram(bits, 20, 1);  // no key is that long: nothing counted
      for (const std::uint32_t value : {0u, count > 2 ? bits[count / 2] & 0x7FFFFFFFu : 1u}) {
        ExpectSameHistogram(bits, 9, value >> 20);
        ExpectSameHistogram(bits, 0, value >> 9);
      }
    }
  });
}

TEST(AddKeyHistogram, MatchesReferenceWhenEveryKeyMatchesOnEveryIsa) {
  OnEachIsa([] {
    std::vector<std::uint32_t> bits(5003);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      bits[i] = 0x3F800000u + static_cast<std::uint32_t>(i % 600) + (i % 3 == 0 ? 0x80000000u : 0);
    }
    ExpectSameHistogram(bits, 9, 0x3F8);
    ExpectSameHistogram(bits, 0, 0x3F800000u >> 9);
  });
}

// The three digits together find the key of any rank, as prune/ uses them.
std::uint32_t SelectKey(const std::vector<std::uint32_t>& bits, std::uint64_t rank) {
  std::uint32_t prefix = 0;
  for (const int shift : {20, 9, 0}) {
    Histogram histogram = {};
    AddKeyHistogram(bits.data(), bits.size(), shift, prefix, histogram.data());
    std::uint32_t digit = 0;
    while (rank >= histogram[digit]) rank -= histogram[digit++];
    prefix = (prefix << (shift == 0 ? 9 : 11)) | digit;
  }
  return prefix;
}

TEST(AddKeyHistogram, ThreeDigitsSelectTheKeyOfAnyRankOnEveryIsa) {
  OnEachIsa([] {
    const std::vector<std::uint32_t> bits = MakeKeys(3001, /*seed=*/4);
    std::vector<std::uint32_t> sorted = bits;
    for (std::uint32_t& key : sorted) key &= 0x7FFFFFFF;
    std::sort(sorted.begin(), sorted.end());
    for (const std::size_t rank : {0, 1, 500, 1500, 2999, 3000}) {
      EXPECT_EQ(SelectKey(bits, rank), sorted[rank]) << "rank " << rank;
    }
  });
}

void ExpectSamePruning(const std::vector<std::uint32_t>& original, std::uint32_t threshold,
                       std::uint64_t ties) {
  std::vector<std::uint32_t> want = original;
  std::uint64_t want_ties = ties;
  PruneBelowReference(want.data(), want.size(), threshold, &want_ties);
  std::vector<std::uint32_t> got = original;
  std::uint64_t got_ties = ties;
  PruneBelow(got.data(), got.size(), threshold, &got_ties);
  const auto what = fmt::format("count={} threshold={} ties={}", got.size(), threshold, ties);
  ASSERT_EQ(got, want) << what;
  ASSERT_EQ(got_ties, want_ties) << what;
}

TEST(PruneBelow, MatchesReferenceForAnyNumberOfTiesOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t count : kSizes) {
      std::vector<std::uint32_t> bits = MakeKeys(count, /*seed=*/8);
      for (std::size_t i = 0; i < count; i += 3) bits[i] = i % 2 ? 0x3F000000u : 0xBF000000u;
      for (const std::uint64_t ties : {0, 1, 2, 9, 100, 1 << 20}) {
        ExpectSamePruning(bits, 0, ties);  // zeros of both signs tie at 0
        ExpectSamePruning(bits, 0x3F000000u, ties);
        ExpectSamePruning(bits, 0x7F800000u, ties);
        ExpectSamePruning(bits, 0x7FFFFFFFu, ties);
      }
    }
  });
}

TEST(PruneBelow, InPiecesGivesTheSameBytesAsAtOnce) {
  std::vector<std::uint32_t> whole(100, 5);
  whole[3] = 4;
  std::vector<std::uint32_t> pieces = whole;
  std::uint64_t ties = 60;
  PruneBelow(whole.data(), 100, 5, &ties);
  std::uint64_t piece_ties = 60;
  for (std::size_t at = 0; at < 100; at += 25) {
    PruneBelow(pieces.data() + at, 25, 5, &piece_ties);
  }
  EXPECT_EQ(pieces, whole);
  EXPECT_EQ(whole[60], 5u);
  EXPECT_EQ(whole[61], 0u);
  EXPECT_EQ(piece_ties, ties);
}

}  // namespace
}  // namespace espalier
