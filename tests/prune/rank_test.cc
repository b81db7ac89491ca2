#include "prune/rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

#include "espalier/kernels/magnitude.h"

namespace espalier {
namespace {

using Keys = std::vector<std::uint32_t>;

KeySource SourceOf(const Keys& keys) {
  return [&keys](int shift, std::uint32_t prefix, std::uint64_t* histogram) {
    AddKeyHistogram(keys.data(), keys.size(), shift, prefix, histogram);
  };
}

std::vector<KeySource> SourcesOf(const std::vector<Keys>& all) {
  std::vector<KeySource> sources;
  for (const Keys& keys : all) sources.push_back(SourceOf(keys));
  return sources;
}

// Few distinct values, so that ties are many.
Keys RandomKeys(std::size_t count, unsigned seed, unsigned distinct) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<unsigned> pick(0, distinct - 1);
  Keys keys(count);
  for (auto& key : keys)
    key = std::bit_cast<std::uint32_t>(0.01f * static_cast<float>(pick(random)));
  return keys;
}

// The oracle: drop one unit after the other, smallest key first, of equal keys the last unit of the
// last source first, passing over sources at their limit.
std::vector<std::uint64_t> DropOneByOne(const std::vector<Keys>& all,
                                        const std::vector<std::uint64_t>& limits,
                                        std::uint64_t count) {
  struct Unit {
    std::uint32_t key;
    std::size_t source, index;
  };
  std::vector<Unit> units;
  for (std::size_t s = 0; s < all.size(); ++s) {
    for (std::size_t i = 0; i < all[s].size(); ++i) units.push_back({all[s][i], s, i});
  }
  std::ranges::sort(units, [](const Unit& a, const Unit& b) {
    if (a.key != b.key) return a.key < b.key;
    return a.source != b.source ? a.source > b.source : a.index > b.index;
  });
  std::vector<std::uint64_t> dropped(all.size());
  for (const Unit& unit : units) {
    if (count == 0) break;
    if (dropped[unit.source] == limits[unit.source]) continue;
    ++dropped[unit.source];
    --count;
  }
  return dropped;
}

TEST(SelectLowest, FindsTheKeyThatSortingFinds) {
  for (const unsigned distinct : {1u, 3u, 1000u, 1u << 20}) {
    const Keys keys = RandomKeys(5000, 7, distinct);
    Keys sorted = keys;
    std::ranges::sort(sorted);
    for (const std::uint64_t count : {1, 2, 777, 2500, 4999, 5000}) {
      const RankResult rank = SelectLowest({SourceOf(keys)}, count, 1);
      EXPECT_EQ(rank.threshold, sorted[count - 1]) << "count " << count;
      EXPECT_EQ(rank.counts[0].below,
                static_cast<std::uint64_t>(std::ranges::lower_bound(sorted, rank.threshold) -
                                           sorted.begin()));
      EXPECT_EQ(rank.counts[0].ties,
                static_cast<std::uint64_t>(std::ranges::count(keys, rank.threshold)));
    }
  }
}

TEST(DivideDrops, MatchesDroppingOneByOneWithAndWithoutLimits) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<Keys> all;
    std::vector<std::uint64_t> limits;
    std::uint64_t units = 0;
    const unsigned distinct = round % 2 == 0 ? 4 : 100000;
    for (int s = 0; s < 4; ++s) {
      all.push_back(RandomKeys(1 + random() % 40, random(), distinct));
      units += all.back().size();
      limits.push_back(round % 3 == 0 ? all.back().size() : random() % (all.back().size() + 1));
    }
    const std::uint64_t count = random() % (units + 1);
    const auto want = DropOneByOne(all, limits, count);
    const auto got = DivideDrops(SourcesOf(all), limits, count, 2);
    for (std::size_t s = 0; s < all.size(); ++s) {
      EXPECT_EQ(got[s].drop, want[s]) << "round " << round << " source " << s;
      // The quota has to be met by its own threshold: below <= drop <= below + ties.
      EXPECT_LE(got[s].below, got[s].drop);
      EXPECT_LE(got[s].drop, got[s].below + got[s].ties);
    }
  }
}

TEST(DropBelow, CountsWhatIsBelowAndStopsAtLimits) {
  const Keys keys = {1, 2, 3, 3, 9};
  EXPECT_EQ(DropBelow({SourceOf(keys)}, {5}, 3, 1)[0].drop, 2u);
  const Quota limited = DropBelow({SourceOf(keys)}, {3}, 9, 1)[0];
  EXPECT_EQ(limited.drop, 3u);
  EXPECT_TRUE(limited.limited);
  EXPECT_EQ(limited.threshold, 3u);
}

}  // namespace
}  // namespace espalier
