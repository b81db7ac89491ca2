#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/graph/layer_select.h"
#include "espalier/pattern/pattern.h"
#include "espalier/prune/prune.h"
#include "espalier/prune/weight_store.h"

namespace espalier {

/// What NVIDIA's sparse tensor cores make of a layer.
struct TensorRtVerdict {
  bool eligible = false;  ///< TensorRT would list it under "layers eligible for sparse math".
  std::string reason;     ///< Why not; or, if eligible, why it may still run dense. May be empty.
};

/// A place that breaks a pattern, in the weight's own coordinates.
struct WeightPlace {
  std::int64_t k = 0;             ///< Output channel, over all groups.
  std::int64_t c = 0;             ///< First input channel (of its group) of the bad run.
  std::optional<std::int64_t> d;  ///< Kernel depth; 3-D kernels only.
  std::int64_t r = 0;             ///< Kernel row (1-D kernels: position).
  std::int64_t s = 0;             ///< Kernel column.
  std::int64_t nonzeros = 0;
};

struct LayerVerifyReport {
  std::string name;
  Dims shape;
  bool selected = false;
  bool holds = true;   ///< True for layers that are not selected.
  std::string reason;  ///< Why it is not selected, or what is wrong; may be empty.
  std::optional<WeightPlace> first_violation;
  TensorRtVerdict tensorrt;
};

struct VerifyReport {
  std::string pattern;
  bool holds = true;   ///< Every selected layer holds, and there is one.
  std::string reason;  ///< What is missing over all layers together; global scope only.
  std::vector<LayerVerifyReport> layers;
  std::vector<std::string> warnings;
};

struct VerifyOptions {
  LayerSelection selection;
  Alignment alignment =
      Alignment::kNone;            ///< As in PruneOptions: layers that do not fit are left out.
  std::optional<double> sparsity;  ///< Ranked patterns: share of units that must be zero.
  /// Where that share has to be met: in each layer, or over all selected layers together.
  RankScope scope = RankScope::kLayer;
  std::map<std::string, double> ratios;  ///< Layer scope: shares of single layers by name.
  int threads = 1;
};

/// Checks whether every selected layer obeys `pattern`. -0.0 counts as zero, and so does an integer
/// weight at its zero point.
///
/// A ranked pattern (blocks, channels, unstructured) holds if round(sparsity * units) whole units
/// are zero; without a sparsity, if at least one is.
/// @throws Error  kInvalidArgument if a sparsity is given for a per-group pattern or is not in
///                0 <= S < 1, or `ratios` name an unknown layer; errors of the store.
/// @cost   Reads each selected layer once or twice, in chunks, up to its first bad group; a layer
/// that
///         is not selected up to its first group that is not 2:4, for the verdict.
VerifyReport Verify(const WeightStore& store, const Pattern& pattern, const VerifyOptions& options);

}  // namespace espalier
