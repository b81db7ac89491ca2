#pragma once

#include <array>
#include <span>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/dispatch.h"

namespace espalier::runtime {

/// How up to three operands of different shapes meet in one result, as nested loops with as few
/// levels as possible: neighbouring axes that every operand has, or lacks, are one.
class Broadcast {
 public:
  static constexpr std::size_t kMaxOperands = 3;
  static constexpr std::size_t kMaxLoops = 16;

  /// Aligns the operands' last axes; sizes of 1 repeat.
  /// @throws Error  kBadFile if two sizes differ and neither is 1; kUnsupported if over kMaxLoops
  ///                levels are left.
  void Plan(std::span<const Dims* const> operands);

  const Dims& dims() const { return dims_; }
  std::size_t count() const { return count_; }

  /// Elements from one to the next of an operand in the innermost loop: 1, or 0 if one repeats.
  std::size_t step(std::size_t operand) const { return loops_[0].steps[operand]; }

  /// Calls body(first, out, count) for runs of neighbouring result elements: `first` has each
  /// operand's first element, `out` is the result's. Runs come in any order, from several threads.
  template <typename Body>
  void Run(int threads, const Body& body) const {
    if (threads <= 1 || count_ < kParallelElements) return Range(0, count_, body);
    const auto parts = static_cast<std::size_t>(threads);
    ThreadPool::Shared().Run(threads, parts, [&](std::size_t i) {
      Range(PartBegin(count_, parts, i), PartBegin(count_, parts, i + 1), body);
    });
  }

 private:
  using Offsets = std::array<std::size_t, kMaxOperands>;
  struct Loop {
    std::size_t size = 1;
    Offsets steps{};
  };

  template <typename Body>
  void Range(std::size_t begin, std::size_t end, const Body& body) const {
    if (begin >= end) return;
    std::array<std::size_t, kMaxLoops> index{};
    Offsets row{};  // of the innermost loop's first element
    std::size_t rest = begin;
    for (std::size_t l = 0; l < depth_; ++l) {
      index[l] = rest % loops_[l].size;
      rest /= loops_[l].size;
      if (l == 0) continue;
      for (std::size_t k = 0; k < kMaxOperands; ++k) row[k] += index[l] * loops_[l].steps[k];
    }
    std::size_t in_row = index[0];
    while (true) {
      Offsets first = row;
      for (std::size_t k = 0; k < kMaxOperands; ++k) first[k] += in_row * loops_[0].steps[k];
      const std::size_t run = std::min(loops_[0].size - in_row, end - begin);
      body(first, begin, run);
      begin += run;
      if (begin >= end) return;
      in_row = 0;
      for (std::size_t l = 1; l < depth_; ++l) {
        const Loop& loop = loops_[l];
        for (std::size_t k = 0; k < kMaxOperands; ++k) row[k] += loop.steps[k];
        if (++index[l] < loop.size) break;
        index[l] = 0;
        for (std::size_t k = 0; k < kMaxOperands; ++k) row[k] -= loop.size * loop.steps[k];
      }
    }
  }

  Dims dims_;
  std::size_t count_ = 1;
  std::size_t depth_ = 1;
  std::array<Loop, kMaxLoops> loops_;  // innermost first
};

}  // namespace espalier::runtime
