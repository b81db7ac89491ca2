#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace espalier::internal {

/// A run of samples of one batch: the piece of work of one thread.
struct LoadUnit {
  std::size_t batch = 0;
  std::size_t first = 0;  ///< Position in the batch.
  std::size_t last = 0;   ///< One past the last.
};

/// Threads that fill batches in their order, a bounded number of batches ahead of who takes them.
/// Batch b lives in slot b % slots until it is taken.
class BatchQueue {
 public:
  /// Called for each unit, from several threads at once. Must not throw.
  using Fill = std::function<void(std::size_t slot, const LoadUnit& unit)>;
  /// Called before the first unit of a batch, from one thread at a time. Must not throw.
  using Prepare = std::function<void(std::size_t slot, std::size_t batch)>;
  /// Samples of a batch, at least 1.
  using SizeOf = std::function<std::size_t(std::size_t batch)>;

  struct Plan {
    std::size_t first_batch = 0;
    std::size_t batches = 0;  ///< One past the last batch.
    std::size_t slots = 1;
    int threads = 1;  ///< At least 1.
  };

  BatchQueue(const Plan& plan, SizeOf size_of, Prepare prepare, Fill fill);
  /// Waits for the units in work; no further one is begun.
  ~BatchQueue();
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  /// Waits until `batch`, the next in order, is filled.
  void Wait(std::size_t batch);
  /// Gives the slot of the batch that was waited for back to the threads.
  void Release();

 private:
  void Work();
  LoadUnit Claim();

  const Plan plan_;
  const SizeOf size_of_;
  const Prepare prepare_;
  const Fill fill_;
  std::mutex mutex_;
  std::condition_variable work_;   // a unit can be claimed, or all is over
  std::condition_variable ready_;  // a batch is filled
  bool stop_ = false;
  std::size_t taken_;                  // batches below are released
  LoadUnit next_;                      // .last is unused
  std::vector<std::size_t> left_;      // by slot: samples that are not filled
  std::vector<std::jthread> threads_;  // last: joins before the rest goes
};

}  // namespace espalier::internal
