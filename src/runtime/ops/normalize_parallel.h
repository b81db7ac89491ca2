#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "espalier/base/thread_pool.h"

namespace espalier::runtime {

/// Calls body(begin, end) on ranges that make up [0, count), on several threads if there is enough
/// to do.
/// @param work  Elements, or operations as cheap as one, in all.
template <typename Body>
void ParallelRanges(int threads, std::int64_t count, std::int64_t work, const Body& body) {
  constexpr std::int64_t kParallelWork = 1 << 16;  // below it waking a thread costs more
  const std::int64_t parts = std::min<std::int64_t>(threads, count);
  if (parts <= 1 || work < kParallelWork) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
  ThreadPool::Shared().Run(threads, static_cast<std::size_t>(parts), [&](std::size_t i) {
    const auto part = static_cast<std::int64_t>(i);
    body(count * part / parts, count * (part + 1) / parts);
  });
}

}  // namespace espalier::runtime
