#include "espalier/kernels/nm_mask.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

enum class Fill { kRandomBits, kFewValues, kTiny };

// Never NaN or infinity: their exponents are left out. kFewValues makes ties, zeros and -0.0 usual;
// kTiny are subnormals.
template <typename T>
std::vector<T> MakeBits(std::size_t count, Fill fill, std::uint32_t seed) {
  std::mt19937 random(seed);
  constexpr T kSign = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  constexpr T kTopExponent = static_cast<T>(kSign >> 1);
  const T few[] = {0, kSign, 1, 2, T(kSign | 1), T(kSign | 2), T(kTopExponent - 1), 0x3C00};
  std::vector<T> bits(count);
  for (T& b : bits) {
    const auto r = static_cast<std::uint32_t>(random());
    if (fill == Fill::kRandomBits) b = static_cast<T>(r) & static_cast<T>(~kTopExponent);
    if (fill == Fill::kFewValues) b = few[r % 8];
    if (fill == Fill::kTiny) b = static_cast<T>((r & 7) | (r & 8 ? kSign : 0));
  }
  return bits;
}

template <typename T>
void ExpectMatchesReference(std::size_t rows, std::size_t cols, std::size_t n, std::size_t m) {
  for (const Fill fill : {Fill::kRandomBits, Fill::kFewValues, Fill::kTiny}) {
    const std::vector<T> original = MakeBits<T>(rows * cols, fill, /*seed=*/7);
    std::vector<T> want = original;
    PruneNmReference(want.data(), rows, cols, n, m);
    std::vector<T> got = original;
    PruneNm(got.data(), rows, cols, n, m);
    ASSERT_EQ(got, want) << fmt::format("{}-bit {}:{} rows={} cols={} fill={}", 8 * sizeof(T), n, m,
                                        rows, cols, static_cast<int>(fill));
  }
}

template <typename T>
class PruneNmTest : public testing::Test {};
using Elements = testing::Types<std::uint16_t, std::uint32_t>;
TYPED_TEST_SUITE(PruneNmTest, Elements);

TYPED_TEST(PruneNmTest, MatchesReferenceForEveryNAndMOnEveryIsa) {
  OnEachIsa([] {
    for (std::size_t m = 2; m <= 16; ++m) {
      for (std::size_t n = 1; n <= m; ++n) {
        ExpectMatchesReference<TypeParam>(3, 4 * m, n, m);  // no tail
        ExpectMatchesReference<TypeParam>(3, 4 * m + m / 2, n, m);
        ExpectMatchesReference<TypeParam>(1, 80 * m + 1, n, m);  // more than one tile of groups
      }
    }
  });
}

TYPED_TEST(PruneNmTest, MatchesReferenceForEveryShortWidthOnEveryIsa) {
  OnEachIsa([] {
    for (const auto& [n, m] : {std::pair<std::size_t, std::size_t>{1, 2},
                               {2, 4},
                               {4, 8},
                               {2, 3},
                               {3, 5},
                               {8, 16},
                               {5, 13}}) {
      for (std::size_t cols = 0; cols <= 70; ++cols) {
        ExpectMatchesReference<TypeParam>(2, cols, n, m);
      }
    }
  });
}

TYPED_TEST(PruneNmTest, AcceptsUnalignedMatricesOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t m : {2, 4, 5, 8, 16}) {
      const auto original = MakeBits<TypeParam>(1 + 40 * m, Fill::kRandomBits, /*seed=*/3);
      std::vector<TypeParam> want = original;
      PruneNmReference(want.data() + 1, 4, 10 * m, 1, m);
      std::vector<TypeParam> got = original;
      PruneNm(got.data() + 1, 4, 10 * m, 1, m);
      ASSERT_EQ(got, want) << "m=" << m;
    }
  });
}

TYPED_TEST(PruneNmTest, KeepsTheLowerIndexOfEqualMagnitudes) {
  constexpr auto kSign = static_cast<TypeParam>(TypeParam{1} << (8 * sizeof(TypeParam) - 1));
  const auto minus_five = static_cast<TypeParam>(kSign | 5);
  std::vector<TypeParam> bits = {5, minus_five, 5, 5, 1, 5, 9, minus_five};
  PruneNm(bits.data(), 2, 4, 2, 4);
  EXPECT_EQ(bits, (std::vector<TypeParam>{5, minus_five, 0, 0, 0, 5, 9, 0}));
}

TYPED_TEST(PruneNmTest, LeavesEverythingWhenNIsM) {
  const auto original = MakeBits<TypeParam>(3 * 16, Fill::kFewValues, /*seed=*/1);
  std::vector<TypeParam> bits = original;
  PruneNm(bits.data(), 3, 16, 4, 4);
  EXPECT_EQ(bits, original);
}

// The oracle itself, against hand-made groups: 2:4 with a tail of three.
TYPED_TEST(PruneNmTest, ReferenceKeepsTheLargestOfAShortLastGroup) {
  std::vector<TypeParam> bits = {4, 3, 2, 1, 7, 9, 8};
  PruneNmReference(bits.data(), 1, 7, 2, 4);
  EXPECT_EQ(bits, (std::vector<TypeParam>{4, 3, 0, 0, 0, 9, 8}));
}

}  // namespace
}  // namespace espalier
