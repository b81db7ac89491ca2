#include "espalier/base/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <set>

namespace espalier {
namespace {

// Published outputs of SplitMix64 for seed 0 (Vigna's splitmix64.c, java.util.SplittableRandom).
TEST(RandomAt, GivesTheKnownSequenceOfSplitMix64) {
  EXPECT_EQ(RandomAt(0, 0), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(RandomAt(0, 1), 0x6E789E6AA1B965F4u);
  EXPECT_EQ(RandomAt(0, 2), 0x06C45D188009454Fu);
}

// A good mixer flips each output bit with chance 1/2: 64 input bits x 200 values, mean 32 of 64.
TEST(RandomAt, FlipsHalfTheBitsWhenOneInputBitChanges) {
  for (const bool change_seed : {false, true}) {
    int flipped = 0;
    for (std::uint64_t i = 0; i < 200; ++i) {
      for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t change = std::uint64_t{1} << bit;
        const std::uint64_t other = change_seed ? RandomAt(7 ^ change, i) : RandomAt(7, i ^ change);
        flipped += std::popcount(RandomAt(7, i) ^ other);
      }
    }
    // Standard deviation of the mean of 12800 binomial(64, 1/2) values: 4 / sqrt(12800) = 0.035.
    EXPECT_NEAR(flipped / (200.0 * 64), 32.0, 6 * 0.036);
  }
}

// FNV-1a of "a" is 0xAF63DC4C8601EC8C (Fowler, Noll, Vo's test vectors); "" gives the offset basis.
TEST(SeedFor, IsTheMixedFnv1aOfTheName) {
  EXPECT_EQ(SeedFor(5, ""), RandomAt(5, 0xCBF29CE484222325u));
  EXPECT_EQ(SeedFor(5, "a"), RandomAt(5, 0xAF63DC4C8601EC8Cu));
  EXPECT_EQ(SeedFor(0, "foobar"), RandomAt(0, 0x85944171F73967E8u));
}

TEST(SeedFor, DiffersByNameAndSeed) {
  std::set<std::uint64_t> seeds;
  for (const std::uint64_t seed : {0, 1, 2}) {
    for (const char* name : {"", "a", "b", "ab", "ba", "fc.weight", "fc.weighu"}) {
      seeds.insert(SeedFor(seed, name));
    }
  }
  EXPECT_EQ(seeds.size(), 21u);
}

}  // namespace
}  // namespace espalier
