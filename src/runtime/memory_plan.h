#pragma once

#include <cstddef>
#include <vector>

namespace espalier::runtime {

/// A piece of memory that is in use from one step to another, both inclusive.
struct Lifetime {
  std::size_t bytes = 0;
  int first = 0;
  int last = 0;
};

struct MemoryPlan {
  std::vector<std::size_t> offsets;  ///< Same order as the lifetimes; multiples of kAlignment.
  std::size_t bytes = 0;             ///< Of the whole arena.
};

/// Places the pieces so that those in use at the same time do not overlap: largest first, each at
/// the lowest offset that is free. Deterministic.
/// @cost  O(n^2 log n).
MemoryPlan PlanMemory(const std::vector<Lifetime>& lifetimes);

}  // namespace espalier::runtime
