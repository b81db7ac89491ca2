#include "espalier/base/thread_pool.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace espalier {
namespace {

TEST(ThreadPool, CallsEachIndexOnce) {
  ThreadPool pool;
  for (const int threads : {1, 2, 3, 7}) {
    for (const std::size_t count : {0, 1, 2, 5, 64}) {
      std::vector<std::atomic<int>> calls(count);
      for (int round = 0; round < 50; ++round) {
        pool.Run(threads, count, [&](std::size_t i) { ++calls[i]; });
      }
      for (const auto& n : calls) EXPECT_EQ(n, 50) << threads << " threads, count " << count;
    }
  }
}

TEST(ThreadPool, GivesIndicesToThreadsByRemainder) {
  ThreadPool pool;
  std::vector<std::thread::id> by(12);
  pool.Run(3, by.size(), [&](std::size_t i) { by[i] = std::this_thread::get_id(); });
  for (std::size_t i = 3; i < by.size(); ++i) EXPECT_EQ(by[i], by[i % 3]) << i;
  EXPECT_EQ(by[0], std::this_thread::get_id());
}

// Threads that find no free processor must not hold the caller up.
TEST(ThreadPool, CallerTakesOverWhatNobodyBegan) {
  ThreadPool pool;
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> by_caller{0};
  std::atomic<int> shares{0};
  const auto body = [&](std::size_t i) {
    ++shares;
    if (i > 0 && std::this_thread::get_id() == caller) ++by_caller;
  };
  for (int round = 0; round < 20000; ++round) pool.Run(64, 64, body);
  EXPECT_EQ(shares, 20000 * 64);
  EXPECT_GT(by_caller, 0);
}

TEST(ThreadPool, RunsALoopInsideALoop) {
  ThreadPool pool;
  std::atomic<int> calls{0};
  pool.Run(2, 4, [&](std::size_t) { pool.Run(2, 3, [&](std::size_t) { ++calls; }); });
  EXPECT_EQ(calls, 12);
}

// The second caller finds the pool taken and works alone: both finish, and no loop waits for ever.
TEST(ThreadPool, ServesTwoCallersAtOnce) {
  std::atomic<int> calls{0};
  const auto caller = [&] {
    for (int round = 0; round < 2000; ++round) {
      ThreadPool::Shared().Run(2, 2, [&](std::size_t) { ++calls; });
    }
  };
  std::thread other(caller);
  caller();
  other.join();
  EXPECT_EQ(calls, 8000);
}

}  // namespace
}  // namespace espalier
