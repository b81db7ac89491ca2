#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "espalier/format/packed_matrix.h"

namespace espalier {

/// What the cost model knows of a product.
struct SpmmShape {
  PackedKind kind = PackedKind::kUnstructured;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::uint64_t entries = 0;  ///< Of that kind (blocks, not weights); kDense: not read.
  std::size_t pixels = 0;
  std::size_t lanes = 8;  ///< SpmmLanes().
};

/// A way to cut the product, and what the model thinks that it costs.
struct SpmmCandidate {
  std::size_t tile_pixels = 0;
  std::size_t k_block = 0;
  double cycles = 0;  ///< For the whole product on one core; only the order is to be trusted.
};

struct SpmmCandidates {
  std::array<SpmmCandidate, 12> list;  ///< Best first; the runtime may time them.
  std::size_t count = 0;               ///< At least 1.
};

/// Tiles worth trying for a product, best first.
///
/// @cost    A few microseconds, no allocation. Same list on every machine for the same shape.
/// @source  Times measured on one Zen 3 core with AVX2; see spmm_candidates.cc.
SpmmCandidates ChooseSpmmCandidates(const SpmmShape& shape) noexcept;

}  // namespace espalier
