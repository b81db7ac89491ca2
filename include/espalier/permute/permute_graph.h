#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "espalier/base/progress.h"
#include "espalier/graph/graph.h"
#include "espalier/graph/layer_select.h"
#include "espalier/pattern/pattern.h"
#include "espalier/permute/search.h"

namespace espalier {

/// What one layer's magnitudes count against another's in the same group.
enum class LayerWeighting {
  kMagnitude,  ///< All weights the same.
  kMacs,       ///< Each weight as often as it is used for one sample.
};

struct PermuteGraphOptions {
  NmGroup nm = {2, 4};
  PermuteOptions search;  ///< `threads` search as many groups at once.
  LayerWeighting weighting = LayerWeighting::kMagnitude;
  LayerSelection selection;  ///< Layers whose magnitude counts; others are reordered with them.
  /// Why a selected layer does not count all the same, empty if it does; none: all count.
  std::function<std::string(const Layer&)> misfit;
  Progress progress;  ///< In groups.
};

/// What became of one group of coupled channels.
struct PermutedGroup {
  std::vector<std::string> layers;  ///< Those that sum over the channels and count.
  std::size_t channels = 0;
  /// Share of the layers' magnitude that N:M keeps, 0..1; nothing if no two channels may change
  /// places or no layer counts.
  std::optional<double> kept_before;
  std::optional<double> kept_after;  ///< Never below kept_before.
  bool applied = false;
  std::string reason;  ///< Why not; or why some channels stay; may be empty if it was applied.
};

struct PermuteReport {
  std::vector<PermutedGroup> groups;  ///< In the order in which the network reads them.
  std::size_t tensors = 0;            ///< That were reordered.
  std::vector<std::string> warnings;  ///< Whole sentences.
};

/// Reorders the channels of a network so that N:M pruning keeps more magnitude. The network
/// computes the same function, but for the order in which floats are added: whatever could change
/// it stops the group, with the reason. Constants that are at the same time inputs (defaults, from
/// IR version 4 on) are reordered, with a warning: who feeds such an input has to reorder it too.
/// The orders are noted in the graph's metadata, see UndoPermutations().
///
/// @param graph  Changed only if a group gains.
/// @return  All groups of channels that a layer sums over.
/// @throws Error  kInvalidArgument unless 1 <= N < M; kBadFile for a weight of a selected layer
///                that is NaN or infinite, or a note of earlier permutations that cannot be read.
///                The graph is unchanged then.
/// @cost   Time: the search's, a group at a time and thread. Memory: per thread 10 bytes a weight
///         of a group. Same result for any number of threads and every ISA.
PermuteReport PermuteGraph(Graph& graph, const PermuteGraphOptions& options = {});

}  // namespace espalier
