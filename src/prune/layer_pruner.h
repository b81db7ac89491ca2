#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "espalier/prune/prune.h"
#include "prune/rank.h"
#include "prune/values.h"

namespace espalier {

/// What a pass over one layer measured.
struct LayerTotals {
  MagnitudeStats before;
  MagnitudeStats after;
  std::uint64_t dropped = 0;
};

/// Everything that the passes over a store's layers share.
struct PruneContext {
  WeightStore& store;
  const Pattern& pattern;
  const Criterion& criterion;
  int threads = 1;
  AdvanceFunction advance;  ///< Progress; safe from several threads.
};

/// Reads, masks and writes back all chunks of the given layers: for per-group patterns.
/// @return  For each of `layers`.
std::vector<LayerTotals> PruneGroups(const PruneContext& context,
                                     const std::vector<std::size_t>& layers);

/// The passes of ranked patterns over one layer.
class RankedLayer {
 public:
  RankedLayer(const PruneContext& context, std::size_t layer);

  /// First pass: magnitudes and, for normalised ranking, the norm of the scores.
  /// @throws Error  kBadFile if a weight is not finite.
  void Measure(bool normalize);

  std::uint64_t units() const { return units_; }
  const MagnitudeStats& before() const { return before_; }

  /// Adds the keys of all units; see KeySource.
  void AddKeys(int shift, std::uint32_t prefix, std::uint64_t* histogram) const;

  /// Last pass: drops what `quota` says and writes the layer back.
  LayerTotals Apply(const Quota& quota);

 private:
  void UnitScores(const WeightChunk& chunk, std::vector<float>* scores,
                  std::vector<float>* unit_scores) const;
  bool HasBitKeys() const;
  std::uint64_t DropUnits(const std::vector<float>& unit_scores, std::uint32_t threshold,
                          std::uint64_t* ties_kept, WeightChunk* chunk) const;

  const PruneContext& context_;
  std::size_t layer_;
  ChunkPlan plan_;
  std::uint64_t units_ = 0;
  double norm_ = 1.0;
  MagnitudeStats before_;
};

/// Adds `more` to `total`.
void Accumulate(const MagnitudeStats& more, MagnitudeStats* total);

}  // namespace espalier
