#include "espalier/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace espalier {
namespace {

TEST(ParallelFor, CallsEachIndexOnce) {
  for (const int threads : {-1, 0, 1, 2, 3, 8}) {
    for (const std::size_t count : {0, 1, 2, 7, 1000}) {
      SCOPED_TRACE(std::to_string(threads) + " threads, count " + std::to_string(count));
      std::vector<std::atomic<int>> calls(count);
      ParallelFor(threads, count, [&](std::size_t i) { ++calls[i]; });
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(calls[i], 1) << i;
    }
  }
}

TEST(ParallelFor, RunsInOrderOnTheCallerWithOneThread) {
  const auto caller = std::this_thread::get_id();
  std::vector<std::size_t> order;
  ParallelFor(1, 100, [&](std::size_t i) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(i);
  });
  for (std::size_t i = 0; i < 100; ++i) ASSERT_EQ(order[i], i);
}

TEST(ParallelFor, RunsOneIndexOnTheCaller) {
  const auto caller = std::this_thread::get_id();
  ParallelFor(8, 1, [&](std::size_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

TEST(ParallelFor, UsesNoMoreThreadsThanAsked) {
  std::mutex mutex;
  std::set<std::thread::id> ids;
  ParallelFor(3, 500, [&](std::size_t) {
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  EXPECT_LE(ids.size(), 3u);
}

// An index can only be started if all before it were, so its thread sees them in `started`.
TEST(ParallelFor, HandsIndicesOutInRisingOrder) {
  constexpr std::size_t kThreads = 4;
  std::atomic<std::size_t> started{0};
  ParallelFor(kThreads, 2000, [&](std::size_t i) {
    const std::size_t before = started++;
    // At most the other threads' indices can be handed out but not yet counted.
    EXPECT_LE(i, before + kThreads - 1);
  });
}

TEST(ParallelFor, RethrowsTheExceptionOfTheLowestFailedIndex) {
  for (const int threads : {1, 2, 4}) {
    for (int run = 0; run < 50; ++run) {
      try {
        ParallelFor(threads, 200, [](std::size_t i) {
          if (i >= 20 && i % 2 == 0) throw std::runtime_error(std::to_string(i));
        });
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        // 20 is started before any later index, so it always fails too.
        ASSERT_STREQ(error.what(), "20") << threads << " threads";
      }
    }
  }
}

TEST(ParallelFor, StartsNoNewIndexAfterAFailure) {
  constexpr int kThreads = 4;
  std::atomic<int> after{0};
  std::atomic<bool> failed{false};
  EXPECT_THROW(ParallelFor(kThreads, 1'000'000,
                           [&](std::size_t i) {
                             if (i == 10) {
                               failed = true;
                               throw std::runtime_error("10");
                             }
                             if (failed) ++after;
                           }),
               std::runtime_error);
  // Between the flag and the stop the other threads may start some, but far from all, indices.
  EXPECT_LT(after, 900'000);
}

TEST(ParallelFor, CanBeNested) {
  std::atomic<int> calls{0};
  ParallelFor(2, 8, [&](std::size_t) { ParallelFor(2, 8, [&](std::size_t) { ++calls; }); });
  EXPECT_EQ(calls, 64);
}

TEST(DefaultThreads, IsAtLeastOne) { EXPECT_GE(DefaultThreads(), 1); }

}  // namespace
}  // namespace espalier
