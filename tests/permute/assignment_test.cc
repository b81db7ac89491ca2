#include "permute/assignment.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "gtest/gtest.h"

namespace espalier::internal {
namespace {

struct Gains {
  Gains(std::size_t count, int range, unsigned seed) : n(count) {
    std::mt19937 random(seed);
    values.Reserve(n * AssignmentStride(n));
    for (std::size_t i = 0; i < n * AssignmentStride(n); ++i) {
      values[i] = static_cast<std::int32_t>(random() % static_cast<unsigned>(2 * range)) - range;
    }
  }
  std::int64_t At(std::size_t item, std::size_t place) const {
    return values[item * AssignmentStride(n) + place];
  }
  std::size_t n;
  AlignedArray<std::int32_t> values;
};

std::int64_t SumOf(const Gains& gains, std::span<const std::uint32_t> item_of) {
  std::int64_t sum = 0;
  for (std::size_t place = 0; place < gains.n; ++place) sum += gains.At(item_of[place], place);
  return sum;
}

void ExpectBijection(std::span<const std::uint32_t> item_of) {
  std::vector<std::uint32_t> sorted(item_of.begin(), item_of.end());
  std::ranges::sort(sorted);
  for (std::uint32_t i = 0; i < sorted.size(); ++i) ASSERT_EQ(sorted[i], i);
}

TEST(Assignment, IsTheBestOfAll) {
  Assignment assignment;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Gains gains(1 + seed % 7, seed % 3 == 0 ? 3 : 1 << 28, seed);
    const auto item_of = assignment.Solve(gains.values.data(), gains.n);
    ExpectBijection(item_of);
    std::vector<std::uint32_t> order(gains.n);
    std::iota(order.begin(), order.end(), 0u);
    std::int64_t best = INT64_MIN;
    do {
      best = std::max(best, SumOf(gains, order));
    } while (std::ranges::next_permutation(order).found);
    ASSERT_EQ(SumOf(gains, item_of), best) << "seed " << seed;
  }
}

// Large ones: optimal exactly if no ring of items gains by moving on, found as a negative cycle.
TEST(Assignment, LeavesNoRingThatGains) {
  Assignment assignment;
  for (const std::size_t n : {16, 33, 64, 128}) {
    for (const int range : {2, 1000, 1 << 28}) {
      const Gains gains(n, range, static_cast<unsigned>(n));
      const auto item_of = assignment.Solve(gains.values.data(), n);
      ExpectBijection(item_of);
      // Longest gain of moving the item at `from` to `to`, over ever more places between.
      std::vector<std::int64_t> way(n * n);
      for (std::size_t from = 0; from < n; ++from) {
        for (std::size_t to = 0; to < n; ++to) {
          way[from * n + to] = gains.At(item_of[from], to) - gains.At(item_of[from], from);
        }
      }
      for (std::size_t by = 0; by < n; ++by) {
        for (std::size_t from = 0; from < n; ++from) {
          for (std::size_t to = 0; to < n; ++to) {
            way[from * n + to] =
                std::max(way[from * n + to], way[from * n + by] + way[by * n + to]);
          }
        }
      }
      for (std::size_t place = 0; place < n; ++place) ASSERT_LE(way[place * n + place], 0);
    }
  }
}

}  // namespace
}  // namespace espalier::internal
