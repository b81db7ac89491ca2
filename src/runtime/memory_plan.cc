#include "runtime/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "runtime/value.h"

namespace espalier::runtime {
namespace {

std::size_t RoundedUp(std::size_t bytes) {
  return std::max<std::size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
}

bool Overlap(const Lifetime& a, const Lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

}  // namespace

MemoryPlan PlanMemory(const std::vector<Lifetime>& lifetimes) {
  MemoryPlan plan;
  plan.offsets.resize(lifetimes.size());
  std::vector<std::size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return lifetimes[a].bytes > lifetimes[b].bytes;
  });
  struct Range {
    std::size_t begin;
    std::size_t end;
  };
  std::vector<std::size_t> placed;
  std::vector<Range> taken;
  for (const std::size_t i : order) {
    taken.clear();
    for (const std::size_t j : placed) {
      if (Overlap(lifetimes[i], lifetimes[j])) {
        taken.push_back({plan.offsets[j], plan.offsets[j] + RoundedUp(lifetimes[j].bytes)});
      }
    }
    std::ranges::sort(taken, {}, &Range::begin);
    const std::size_t size = RoundedUp(lifetimes[i].bytes);
    std::size_t offset = 0;
    for (const Range& range : taken) {
      if (range.begin >= offset + size) break;
      offset = std::max(offset, range.end);
    }
    plan.offsets[i] = offset;
    plan.bytes = std::max(plan.bytes, offset + size);
    placed.push_back(i);
  }
  return plan;
}

}  // namespace espalier::runtime
