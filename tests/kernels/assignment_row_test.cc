#include "espalier/kernels/assignment_row.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/aligned_allocator.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

template <typename T>
using Row = hwy::AlignedFreeUniquePtr<T[]>;

template <typename T>
Row<T> RandomRow(std::size_t count, int range, std::mt19937& random) {
  auto row = hwy::AllocateAligned<T>(count);
  for (std::size_t i = 0; i < count; ++i) {
    row[i] = static_cast<T>(random() % static_cast<unsigned>(range));
  }
  return row;
}

// A range of 2 makes ties in and across the lanes.
TEST(FindCheapestPlaces, MatchesReferenceOnEveryIsa) {
  OnEachIsa([] {
    std::mt19937 random(1);
    for (int i = 0; i < 300; ++i) {
      const std::size_t count = kAssignmentUnit * (1 + random() % 9);
      const int range = i % 3 == 0 ? 2 : 1 << 28;
      const auto price = RandomRow<std::int32_t>(count, range, random);
      const auto gains = RandomRow<std::int32_t>(count, range, random);
      const CheapestPlaces got = FindCheapestPlaces(price.get(), gains.get(), count);
      const CheapestPlaces want = FindCheapestPlacesReference(price.get(), gains.get(), count);
      ASSERT_EQ(got.first, want.first);
      ASSERT_EQ(got.second, want.second);
      ASSERT_EQ(got.place, want.place);
    }
  });
}

TEST(RelaxPlaces, MatchesReferenceOnEveryIsa) {
  OnEachIsa([] {
    std::mt19937 random(2);
    for (int i = 0; i < 300; ++i) {
      const std::size_t count = kAssignmentUnit * (1 + random() % 9);
      const int range = i % 3 == 0 ? 3 : 1 << 28;
      const auto price = RandomRow<std::int32_t>(count, range, random);
      const auto gains = RandomRow<std::int32_t>(count, range, random);
      auto open = RandomRow<std::int32_t>(count, range, random);
      auto distance = RandomRow<std::int32_t>(count, range, random);
      auto from = RandomRow<std::uint32_t>(count, 100, random);
      for (std::size_t p = 0; p < count; ++p) {
        if (random() % 4 == 0) open[p] = kAssignmentNever;
      }
      std::vector<std::int32_t> want_open(open.get(), open.get() + count);
      std::vector<std::int32_t> want_distance(distance.get(), distance.get() + count);
      std::vector<std::uint32_t> want_from(from.get(), from.get() + count);
      const NearestPlace want =
          RelaxPlacesReference(price.get(), gains.get(), 5, 77, count, want_open.data(),
                               want_distance.data(), want_from.data());
      const NearestPlace got = RelaxPlaces(price.get(), gains.get(), 5, 77, count, open.get(),
                                           distance.get(), from.get());
      ASSERT_EQ(got.distance, want.distance);
      ASSERT_EQ(got.place, want.place);
      ASSERT_TRUE(std::equal(want_open.begin(), want_open.end(), open.get()));
      ASSERT_TRUE(std::equal(want_distance.begin(), want_distance.end(), distance.get()));
      ASSERT_TRUE(std::equal(want_from.begin(), want_from.end(), from.get()));
    }
  });
}

}  // namespace
}  // namespace espalier
