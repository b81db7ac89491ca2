#include "espalier/prune/inspect.h"

#include <algorithm>
#include <limits>

#include "espalier/base/parallel.h"
#include "espalier/pattern/registry.h"
#include "prune/scan.h"

namespace espalier {
namespace {

struct KnownPattern {
  const char* name;
  std::int64_t kept;  // input channels that it keeps of a group
};
constexpr KnownPattern kKnown[] = {
    {"1:2", 1}, {"1:4", 1}, {"2:4", 2}, {"4:8", 4}, {"2:4-transposable", 2}};

// Sizes come from files that may say anything; a sum that overflows stays at the largest value.
std::int64_t SaturatedSum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

LayerInspection InspectLayer(const WeightStore& store, std::size_t index) {
  const Layer& layer = store.layers()[index];
  LayerInspection entry;
  entry.name = layer.name;
  entry.op = layer.op;
  entry.shape = layer.shape;
  entry.dtype = layer.dtype;
  entry.parameters = ElementCount(layer.shape);
  entry.macs = layer.macs;
  entry.note = layer.refusal;
  if (!layer.refusal.empty()) return entry;
  entry.zeros = CountZeros(store, index);
  if (entry.zeros == 0) return entry;
  for (const KnownPattern& known : kKnown) {
    if (layer.view.in.size <= known.kept) continue;
    const auto pattern = PatternRegistry::BuiltIn().Make(known.name);
    if (!FindViolationIn(store, index, layer, *pattern)) entry.patterns.push_back(known.name);
  }
  return entry;
}

}  // namespace

double LayerInspection::Sparsity() const {
  return parameters == 0 ? 0.0 : static_cast<double>(zeros) / static_cast<double>(parameters);
}

Inspection Inspect(const WeightStore& store, int threads) {
  Inspection result;
  result.layers.resize(store.layers().size());
  ParallelFor(threads, result.layers.size(),
              [&](std::size_t i) { result.layers[i] = InspectLayer(store, i); });
  std::int64_t weights = 0;
  std::uint64_t zeros = 0;
  for (const LayerInspection& layer : result.layers) {
    weights = SaturatedSum(weights, layer.parameters);
    zeros += layer.zeros;
    if (layer.macs) {
      result.macs = SaturatedSum(result.macs.value_or(0), *layer.macs);
    } else {
      result.macs_complete = false;
    }
  }
  result.parameters = SaturatedSum(weights, store.OtherParameters());
  result.sparsity = weights == 0 ? 0.0 : static_cast<double>(zeros) / static_cast<double>(weights);
  return result;
}

}  // namespace espalier
