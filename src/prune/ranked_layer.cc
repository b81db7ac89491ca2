#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "espalier/kernels/magnitude.h"
#include "prune/layer_pruner.h"

namespace espalier {

RankedLayer::RankedLayer(const PruneContext& context, std::size_t layer)
    : context_(context),
      layer_(layer),
      plan_(PlanChunks(context.store.layers()[layer], context.pattern)) {
  units_ = context.pattern.UnitCount(PackedShapeOf(context.store.layers()[layer].view));
}

// Whether the stored bits, less the sign, are the keys: no scores have to be computed.
bool RankedLayer::HasBitKeys() const {
  return plan_.flat && norm_ == 1.0 && context_.criterion.IsMagnitude() &&
         context_.store.layers()[layer_].dtype == DType::kFloat32;
}

void RankedLayer::Measure(bool normalize) {
  const Layer& layer = context_.store.layers()[layer_];
  WeightChunk chunk;
  std::vector<float> scores, unit_scores;
  double squares = 0;
  for (const ChunkRange& range : plan_.ranges) {
    ReadChunk(context_.store, layer_, context_.store.layers()[layer_], plan_, range, &chunk);
    const MagnitudeStats stats = MeasureChunk(layer, chunk);
    CheckFinite(layer, chunk, stats);
    Accumulate(stats, &before_);
    if (normalize) {
      UnitScores(chunk, &scores, &unit_scores);
      for (const float score : unit_scores) squares += double{score} * double{score};
    }
    context_.advance(chunk.bytes.size());
  }
  if (normalize && squares > 0) norm_ = std::sqrt(squares);
}

void RankedLayer::UnitScores(const WeightChunk& chunk, std::vector<float>* scores,
                             std::vector<float>* unit_scores) const {
  ScoreChunk(context_.criterion, context_.store.layers()[layer_], chunk, scores);
  unit_scores->resize(context_.pattern.UnitCount(chunk.shape));
  context_.pattern.ScoreUnits(*scores, chunk.shape, context_.criterion.Norm(), *unit_scores);
  if (norm_ == 1.0) return;
  for (float& score : *unit_scores) {
    const double scaled = double{score} / norm_;
    score = static_cast<float>(std::min(scaled, double{std::numeric_limits<float>::max()}));
  }
}

void RankedLayer::AddKeys(int shift, std::uint32_t prefix, std::uint64_t* histogram) const {
  WeightChunk chunk;
  std::vector<float> scores, unit_scores;
  for (const ChunkRange& range : plan_.ranges) {
    ReadChunk(context_.store, layer_, context_.store.layers()[layer_], plan_, range, &chunk);
    if (HasBitKeys()) {
      AddKeyHistogram(reinterpret_cast<const std::uint32_t*>(chunk.bytes.data()), chunk.elements(),
                      shift, prefix, histogram);
    } else {
      UnitScores(chunk, &scores, &unit_scores);
      AddKeyHistogram(reinterpret_cast<const std::uint32_t*>(unit_scores.data()),
                      unit_scores.size(), shift, prefix, histogram);
    }
    context_.advance(chunk.bytes.size());
  }
}

std::uint64_t RankedLayer::DropUnits(const std::vector<float>& unit_scores, std::uint32_t threshold,
                                     std::uint64_t* ties_kept, WeightChunk* chunk) const {
  std::vector<std::uint8_t> keep_unit(unit_scores.size());
  for (std::size_t i = 0; i < unit_scores.size(); ++i) {
    const auto key = std::bit_cast<std::uint32_t>(unit_scores[i]) & 0x7FFFFFFFu;
    bool kept = key > threshold;
    if (key == threshold && *ties_kept > 0) {
      --*ties_kept;
      kept = true;
    }
    keep_unit[i] = kept;
  }
  std::vector<std::uint8_t> keep(chunk->elements());
  context_.pattern.ExpandUnits(keep_unit, chunk->shape, keep);
  ZeroDropped(context_.store.layers()[layer_], keep, chunk);
  return std::ranges::count(keep, std::uint8_t{0});
}

LayerTotals RankedLayer::Apply(const Quota& quota) {
  const Layer& layer = context_.store.layers()[layer_];
  LayerTotals totals;
  totals.before = before_;
  std::uint64_t ties_kept = quota.ties - (quota.drop - quota.below);
  WeightChunk chunk;
  std::vector<float> scores, unit_scores;
  for (const ChunkRange& range : plan_.ranges) {
    ReadChunk(context_.store, layer_, context_.store.layers()[layer_], plan_, range, &chunk);
    if (quota.drop == 0) {
      // Nothing goes; the chunk is still written, because the output may be another file.
    } else if (HasBitKeys()) {
      PruneBelow(reinterpret_cast<std::uint32_t*>(chunk.bytes.data()), chunk.elements(),
                 quota.threshold, &ties_kept);
    } else {
      UnitScores(chunk, &scores, &unit_scores);
      totals.dropped += DropUnits(unit_scores, quota.threshold, &ties_kept, &chunk);
    }
    Accumulate(MeasureChunk(layer, chunk), &totals.after);
    WriteChunk(context_.store, layer_, plan_, &chunk);
    context_.advance(chunk.bytes.size());
  }
  if (HasBitKeys()) totals.dropped = quota.drop;
  return totals;
}

}  // namespace espalier
