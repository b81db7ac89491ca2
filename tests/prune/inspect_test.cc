#include "espalier/prune/inspect.h"

#include <gtest/gtest.h>

#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

TEST(Inspect, ListsThePatternsThatHoldAndSaySomething) {
  MemoryWeights store;
  store.Add("one of four", {1, 8}, {1, 0, 0, 0, 0, 0, 0, 2});
  store.Add("dense", {1, 4}, {1, 2, 3, 4});
  store.Add("depthwise", {4, 1, 1, 1}, {1, 0, 2, 3});  // one channel: nothing could break 2:4
  store.Add("four of eight", {1, 8}, {1, 1, 1, 1, 0, 0, 0, 0});
  const Inspection result = Inspect(store, 2);
  using Names = std::vector<std::string>;
  EXPECT_EQ(result.layers[0].patterns, (Names{"1:2", "1:4", "2:4", "4:8", "2:4-transposable"}));
  EXPECT_EQ(result.layers[1].patterns, Names{});
  EXPECT_EQ(result.layers[2].patterns, Names{});
  EXPECT_EQ(result.layers[3].patterns, Names{"4:8"});
  EXPECT_EQ(result.parameters, 24);
  EXPECT_DOUBLE_EQ(result.sparsity, 11.0 / 24.0);
  EXPECT_FALSE(result.macs.has_value());
}

}  // namespace
}  // namespace espalier
