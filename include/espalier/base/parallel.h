#pragma once

#include <cstddef>
#include <functional>

namespace espalier {

/// Number of threads to use when the user does not say: the CPUs that this process may run on.
int DefaultThreads() noexcept;

/// Calls `body(i)` once for each i in [0, count), on up to `threads` threads, and waits for all.
/// Indices are handed out in rising order. With one thread, or one index, everything runs on the
/// calling thread. If a body throws, no new index is started and the exception of the lowest failed
/// index is rethrown here.
void ParallelFor(int threads, std::size_t count, const std::function<void(std::size_t)>& body);

}  // namespace espalier
