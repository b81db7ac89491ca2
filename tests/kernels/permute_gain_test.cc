#include "espalier/kernels/permute_gain.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/aligned_allocator.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

// Magnitudes with ties, zeros and the largest number there is.
hwy::AlignedFreeUniquePtr<std::uint16_t[]> Magnitudes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  auto values = hwy::AllocateAligned<std::uint16_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto kind = random() % 4;
    values[i] = static_cast<std::uint16_t>(kind == 0   ? 0
                                           : kind == 1 ? 32767
                                           : kind == 2 ? random() % 3
                                                       : random() % 32768);
  }
  return values;
}

TEST(NthLargest, MatchesReferenceOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t rows : {32, 64, 160}) {
      for (const std::size_t count : {0, 1, 3, 7, 15, 31}) {
        const auto values = Magnitudes(rows * (count + 1), static_cast<unsigned>(count));
        std::vector<const std::uint16_t*> columns;
        for (std::size_t c = 0; c < count; ++c) columns.push_back(values.get() + c * rows);
        for (std::size_t n = 1; n <= count + 2; ++n) {
          const auto out = hwy::AllocateAligned<std::uint16_t>(rows);
          std::vector<std::uint16_t> want(rows);
          NthLargest(columns.data(), count, n, rows, out.get());
          NthLargestReference(columns.data(), count, n, rows, want.data());
          for (std::size_t r = 0; r < rows; ++r) {
            ASSERT_EQ(out[r], want[r]) << n << " of " << count << ", row " << r;
          }
        }
      }
    }
  });
}

TEST(ColumnGains, MatchesReferenceOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t rows : {32, 96, 1024}) {
      for (const std::size_t count : {0, 1, 4, 7, 33}) {
        const auto values = Magnitudes(rows * (count + 1), static_cast<unsigned>(rows + count));
        std::vector<std::int64_t> gains(count, -1);
        std::vector<std::int64_t> want(count, -2);
        ColumnGains(values.get(), values.get() + rows, count, rows, gains.data());
        ColumnGainsReference(values.get(), values.get() + rows, count, rows, want.data());
        ASSERT_EQ(gains, want) << rows << " rows";
      }
    }
  });
}

// More than 32 bits hold, in one lane and in all.
TEST(ColumnGains, AddsLargeSumsExactly) {
  OnEachIsa([] {
    const std::size_t rows = (std::size_t{1} << 19) + 32;
    const auto values = hwy::AllocateAligned<std::uint16_t>(2 * rows);
    std::fill(values.get(), values.get() + rows, std::uint16_t{32767});
    std::fill(values.get() + rows, values.get() + 2 * rows, std::uint16_t{0});
    std::int64_t gain = 0;
    ColumnGains(values.get(), values.get() + rows, 1, rows, &gain);
    EXPECT_EQ(gain, 32767 * static_cast<std::int64_t>(rows));
  });
}

}  // namespace
}  // namespace espalier
