#include "runtime/memory_plan.h"

#include "espalier/base/random.h"
#include "gtest/gtest.h"
#include "runtime/value.h"

namespace espalier::runtime {
namespace {

// Property: pieces that are in use at the same time do not overlap, and all lie in the arena.
TEST(PlanMemory, KeepsWhatIsInUseTogetherApart) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<Lifetime> lives;
    for (std::uint64_t i = 0; i < 1 + seed % 40; ++i) {
      const std::uint64_t random = RandomAt(seed, i);
      const int first = static_cast<int>(random % 30);
      lives.push_back({random >> 8 & 0xFFF, first, first + static_cast<int>(random >> 32 & 7)});
    }
    const MemoryPlan plan = PlanMemory(lives);
    for (std::size_t i = 0; i < lives.size(); ++i) {
      EXPECT_EQ(plan.offsets[i] % kAlignment, 0u);
      EXPECT_LE(plan.offsets[i] + lives[i].bytes, plan.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        if (lives[i].first > lives[j].last || lives[j].first > lives[i].last) continue;
        EXPECT_TRUE(plan.offsets[i] + lives[i].bytes <= plan.offsets[j] ||
                    plan.offsets[j] + lives[j].bytes <= plan.offsets[i])
            << "seed " << seed << ": " << i << " and " << j;
      }
    }
  }
}

TEST(PlanMemory, ReusesMemoryOfValuesThatAreDone) {
  const MemoryPlan plan = PlanMemory({{1000, 0, 1}, {1000, 1, 2}, {1000, 2, 3}, {1000, 3, 4}});
  EXPECT_EQ(plan.bytes, 2048u);
}

}  // namespace
}  // namespace espalier::runtime
