#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/base/progress.h"
#include "espalier/graph/layer_select.h"
#include "espalier/pattern/pattern.h"
#include "espalier/prune/criterion.h"
#include "espalier/prune/weight_store.h"

namespace espalier {

/// Over which weights a ratio is met.
enum class RankScope { kLayer, kGlobal, kGlobalNormalized };

/// Which layers fit the hardware: NVIDIA's rule for sparse tensor cores, or none.
enum class Alignment { kNone, kTensorRt };

/// Why a layer lost fewer weights than the ranking wanted.
enum class Limit { kNone, kMaxLayerSparsity, kFloor };

struct PruneOptions {
  LayerSelection selection;
  Alignment alignment = Alignment::kNone;
  RankScope scope = RankScope::kLayer;

  /// Ranked patterns: share of units to drop, 0 <= sparsity < 1; exactly round(sparsity * units)
  /// go.
  std::optional<double> sparsity;
  /// Ranked patterns, instead of a ratio: units that score below this go.
  std::optional<double> threshold;
  /// Layer scope: ratios of single layers by name; they go before `sparsity`.
  std::map<std::string, double> ratios;

  /// No layer gets sparser than this.
  double max_layer_sparsity = 1.0;
  /// Floor: every layer keeps at least this many weights for each output channel, on average, and
  /// at least one unit, so that none collapses. By default 1 for the global scopes and thresholds;
  /// in layer scope, where the ratio is the caller's own, only the one unit.
  std::optional<double> min_weights_per_channel;

  int threads = 1;
  Progress progress;  ///< In bytes read.
};

struct LayerPruneReport {
  std::string name;
  std::string op;
  Dims shape;
  bool pruned = false;
  std::string reason;  ///< Why not, or what to know; empty if there is nothing to say.
  std::uint64_t elements = 0;
  std::uint64_t dropped = 0;    ///< Weights that the mask drops, zero before or not; exactly k.
  std::uint64_t zeros = 0;      ///< After pruning.
  double magnitude_before = 0;  ///< Sum of |w|.
  double magnitude_after = 0;
  Limit limit = Limit::kNone;  ///< Set if a limit held weights back.

  double Sparsity() const;       ///< zeros / elements; 0 for an empty layer.
  double KeptMagnitude() const;  ///< after / before; 1 if there was nothing to lose.
};

struct PruneReport {
  std::string pattern;
  std::string criterion;
  std::vector<LayerPruneReport> layers;  ///< All layers of the store, in order.
  std::vector<std::string> warnings;     ///< Whole sentences.

  double Sparsity() const;       ///< Over the pruned layers together.
  double KeptMagnitude() const;  ///< Likewise.
};

/// Sets the least important weights of the selected layers to zero, so that `pattern` holds.
///
/// Same input and options give the same bytes on every run, ISA and number of threads. Of equal
/// scores the lower index stays. A layer that cannot take the pattern is left as it is, with the
/// reason.
///
/// @param store  Read in chunks of about 256 KB a thread, written likewise; a layer whose rows are
///               not contiguous is held whole.
/// @throws Error  kInvalidArgument if the options do not fit the pattern (a ratio for 2:4, none for
///                blocks, an unknown layer in `ratios`); kBadFile if a selected weight has a NaN or
///                an infinity (layer and place); errors of the store.
/// @cost   One read and one write of each selected weight for per-group patterns; five reads and
/// one
///         write for ranked ones (six reads when normalised).
/// @source Han et al., "Learning both Weights and Connections", NIPS 2015 (magnitude); Zhu and
/// Gupta,
///         arXiv 1710.01878. Differs: exact count, ties by index.
PruneReport Prune(WeightStore& store, const Pattern& pattern, const Criterion& criterion,
                  const PruneOptions& options);

/// Why a layer does not fit a pattern or an alignment; empty if it does.
/// @source  apex.contrib.sparsity.ASP: K % 8 = 0 and C / groups % 16 = 0.
std::string MisfitOf(const Layer& layer, const Pattern& pattern, Alignment alignment);

}  // namespace espalier
