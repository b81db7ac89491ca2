#include "prune/scan.h"

#include <algorithm>

#include "espalier/pattern/registry.h"

namespace espalier {
namespace {

// Calls visit(chunk) for the chunks of a layer until it returns true.
template <class Visit>
void ForEachChunk(const WeightStore& store, std::size_t index, const Layer& layer,
                  const Pattern& pattern, const Visit& visit) {
  const ChunkPlan plan = PlanChunks(layer, pattern);
  WeightChunk chunk;
  for (const ChunkRange& range : plan.ranges) {
    ReadChunk(store, index, layer, plan, range, &chunk);
    if (visit(chunk)) return;
  }
}

}  // namespace

std::optional<Violation> FindViolationIn(const WeightStore& store, std::size_t index,
                                         const Layer& layer, const Pattern& pattern) {
  std::optional<Violation> violation;
  std::vector<std::uint8_t> nonzero;
  ForEachChunk(store, index, layer, pattern, [&](const WeightChunk& chunk) {
    FindNonzeros(layer, chunk, &nonzero);
    violation = pattern.FindViolation(nonzero, chunk.shape);
    if (violation) violation->row += chunk.first_row;
    return violation.has_value();
  });
  return violation;
}

std::uint64_t CountZeros(const WeightStore& store, std::size_t index) {
  const Layer& layer = store.layers()[index];
  const auto unstructured = PatternRegistry::BuiltIn().Make("unstructured");
  std::uint64_t zeros = 0;
  std::vector<std::uint8_t> nonzero;
  ForEachChunk(store, index, layer, *unstructured, [&](const WeightChunk& chunk) {
    FindNonzeros(layer, chunk, &nonzero);
    zeros += std::ranges::count(nonzero, std::uint8_t{0});
    return false;
  });
  return zeros;
}

std::uint64_t CountZeroUnits(const WeightStore& store, std::size_t index, const Pattern& pattern) {
  const Layer& layer = store.layers()[index];
  std::uint64_t zeros = 0;
  std::vector<std::uint8_t> nonzero;
  ForEachChunk(store, index, layer, pattern, [&](const WeightChunk& chunk) {
    FindNonzeros(layer, chunk, &nonzero);
    const std::vector<float> ones(nonzero.begin(), nonzero.end());
    std::vector<float> units(pattern.UnitCount(chunk.shape));
    pattern.ScoreUnits(ones, chunk.shape, UnitNorm::kSum, units);
    zeros += std::ranges::count(units, 0.0f);
    return false;
  });
  return zeros;
}

}  // namespace espalier
