#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/prune/weight_store.h"

namespace espalier {

struct LayerInspection {
  std::string name;
  std::string op;
  Dims shape;
  DType dtype = DType::kUnknown;
  std::int64_t parameters = 0;
  std::optional<std::int64_t> macs;   ///< For one sample; absent if a shape is not known.
  std::uint64_t zeros = 0;            ///< 0 for a layer that cannot be read as numbers.
  std::vector<std::string> patterns;  ///< Per-group patterns that hold and say something here.
  std::string note;                   ///< Why it cannot be pruned; may be empty.

  double Sparsity() const;  ///< zeros / parameters.
};

struct Inspection {
  std::int64_t parameters = 0;       ///< Of the layers and of all else (biases, norms, embeddings).
  std::optional<std::int64_t> macs;  ///< Of the layers whose MACs are known; absent if none is.
  bool macs_complete = true;         ///< False if some layer's MACs are not known.
  double sparsity = 0;               ///< Zeros over the weights of all layers together.
  std::vector<LayerInspection> layers;
};

/// Describes the layers of a store: sizes, work, zeros, and which of 1:2, 1:4, 2:4, 4:8 and
/// 2:4-transposable hold. A pattern that no weight of a layer could break (fewer input channels
/// than it keeps) is not listed.
/// @throws Error  errors of the store.
/// @cost   Reads each layer once, and again for each pattern up to its first bad group.
Inspection Inspect(const WeightStore& store, int threads);

}  // namespace espalier
