#include <algorithm>
#include <utility>

#include "espalier/base/parallel.h"
#include "espalier/kernels/nm_mask.h"
#include "espalier/kernels/transposable_mask.h"
#include "prune/layer_pruner.h"

namespace espalier {
namespace {

constexpr std::int64_t kMostKernelGroup = 16;  // of PruneNm

struct Task {
  std::size_t which;  // index in the list of layers
  std::size_t chunk;
};

bool PruneNmInPlace(const NmGroup& nm, const Layer& layer, WeightChunk* chunk) {
  if (nm.m > kMostKernelGroup) return false;
  const std::size_t channels = chunk->shape.channels;
  const std::size_t lines = channels == 0 ? 0 : chunk->elements() / channels;
  switch (layer.dtype) {
    case DType::kFloat32:
      PruneNm(reinterpret_cast<std::uint32_t*>(chunk->bytes.data()), lines, channels, nm.n, nm.m);
      return true;
    case DType::kFloat16:
    case DType::kBFloat16:
      PruneNm(reinterpret_cast<std::uint16_t*>(chunk->bytes.data()), lines, channels, nm.n, nm.m);
      return true;
    default:
      return false;
  }
}

bool PruneTransposableInPlace(const Layer& layer, WeightChunk* chunk) {
  const PackedShape& shape = chunk->shape;
  const bool whole_tiles = shape.rows % 4 == 0 && shape.channels % 4 == 0;
  if (layer.dtype != DType::kFloat32 || shape.positions != 1 || !whole_tiles) return false;
  auto* values = reinterpret_cast<float*>(chunk->bytes.data());
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    PruneTransposable24(values + group * shape.rows * shape.channels, shape.rows, shape.channels);
  }
  return true;
}

// Works on the stored bits where a kernel can; false if it cannot.
bool PruneWithKernel(const PruneContext& context, const Layer& layer, WeightChunk* chunk) {
  if (!context.criterion.IsMagnitude()) return false;
  if (const auto nm = context.pattern.Nm()) return PruneNmInPlace(*nm, layer, chunk);
  return context.pattern.IsTransposable24() && PruneTransposableInPlace(layer, chunk);
}

void MaskTransposable(const std::vector<float>& scores, const PackedShape& shape,
                      std::vector<std::uint8_t>* keep) {
  const std::int64_t stride = shape.positions * shape.channels;
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    for (std::int64_t position = 0; position < shape.positions; ++position) {
      const std::int64_t origin = group * shape.rows * stride + position * shape.channels;
      MaskTransposable24(scores.data() + origin, shape.rows, shape.channels, stride,
                         keep->data() + origin);
    }
  }
}

// How many weights a kernel's mask drops: known from the shape alone.
std::uint64_t DroppedByKernel(const Pattern& pattern, const PackedShape& shape) {
  const auto nm = pattern.Nm();
  if (!nm) return static_cast<std::uint64_t>(shape.Elements() / 2);  // whole 2:4-transposable tiles
  const std::int64_t lines = shape.groups * shape.rows * shape.positions;
  const std::int64_t tail = shape.channels % nm->m;
  const std::int64_t a_line =
      shape.channels / nm->m * (nm->m - nm->n) + std::max<std::int64_t>(0, tail - nm->n);
  return static_cast<std::uint64_t>(lines * a_line);
}

LayerTotals PruneChunk(const PruneContext& context, const Layer& layer, WeightChunk* chunk) {
  LayerTotals totals;
  totals.before = MeasureChunk(layer, *chunk);
  CheckFinite(layer, *chunk, totals.before);
  if (PruneWithKernel(context, layer, chunk)) {
    totals.dropped = DroppedByKernel(context.pattern, chunk->shape);
  } else {
    std::vector<float> scores;
    ScoreChunk(context.criterion, layer, *chunk, &scores);
    std::vector<std::uint8_t> keep(scores.size());
    if (context.pattern.IsTransposable24()) {
      MaskTransposable(scores, chunk->shape, &keep);
    } else {
      context.pattern.MaskGroups(scores, chunk->shape, keep);
    }
    ZeroDropped(layer, keep, chunk);
    totals.dropped = std::ranges::count(keep, std::uint8_t{0});
  }
  totals.after = MeasureChunk(layer, *chunk);
  return totals;
}

}  // namespace

void Accumulate(const MagnitudeStats& more, MagnitudeStats* total) {
  total->sum += more.sum;
  total->zeros += more.zeros;
  total->finite = total->finite && more.finite;
}

std::vector<LayerTotals> PruneGroups(const PruneContext& context,
                                     const std::vector<std::size_t>& layers) {
  std::vector<ChunkPlan> plans;
  std::vector<Task> tasks;
  for (std::size_t which = 0; which < layers.size(); ++which) {
    plans.push_back(PlanChunks(context.store.layers()[layers[which]], context.pattern));
    for (std::size_t c = 0; c < plans.back().ranges.size(); ++c) tasks.push_back({which, c});
  }
  // Sums are added up in the order of the chunks, whichever thread did them.
  std::vector<LayerTotals> parts(tasks.size());
  ParallelFor(context.threads, tasks.size(), [&](std::size_t t) {
    thread_local WeightChunk chunk;
    const std::size_t index = layers[tasks[t].which];
    const ChunkPlan& plan = plans[tasks[t].which];
    const Layer& layer = context.store.layers()[index];
    ReadChunk(context.store, index, layer, plan, plan.ranges[tasks[t].chunk], &chunk);
    parts[t] = PruneChunk(context, layer, &chunk);
    WriteChunk(context.store, index, plan, &chunk);
    context.advance(chunk.bytes.size());
  });
  std::vector<LayerTotals> totals(layers.size());
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    LayerTotals& total = totals[tasks[t].which];
    Accumulate(parts[t].before, &total.before);
    Accumulate(parts[t].after, &total.after);
    total.dropped += parts[t].dropped;
  }
  return totals;
}

}  // namespace espalier
