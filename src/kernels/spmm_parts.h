#pragma once

#include <cstddef>
#include <cstdint>

#include "espalier/kernels/spmm.h"

// The parts of Spmm() that are compiled once for each instruction set. Each Choose function is a
// dispatch; the functions it returns are called many times.

namespace espalier::internal {

/// Most vectors of pixels that a row kernel keeps in registers, of which most ISAs have 16.
constexpr std::size_t SpmmMaxVectors(PackedKind kind) noexcept {
  if (kind == PackedKind::kRows2) return 6;
  return kind == PackedKind::kRows4 || kind == PackedKind::kDense ? 3 : 10;
}

/// A run of pixels of one output row, for SpmmInputKind::kWindow.
struct SpmmSegment {
  std::int32_t y;       ///< Input row of the window's top left corner; may be negative.
  std::int32_t x;       ///< Input column of the same, of the first pixel.
  std::uint32_t count;  ///< Pixels.
};

/// A tile of pixels as it lies in the packed buffer: `vectors` vectors of pixels. The last vector
/// starts at pixel `last_start`, so that it ends at the last pixel and overlaps the one before: no
/// part of a vector is ever loaded or stored, but for tiles of less than a vector.
struct SpmmTile {
  const SpmmInput* input;
  std::size_t pixel;       ///< First pixel.
  std::size_t count;       ///< Pixels.
  std::size_t vectors;     ///< In the buffer.
  std::size_t last_start;  ///< First pixel of the last vector, counted from `pixel`.
  std::size_t ld;          ///< Floats between rows of the buffer.
  const SpmmSegment* segments;
  std::size_t segment_count;
};

/// Fills rows [k_begin, k_end) of X into `buffer`, then zeros up to a multiple of 4 rows. May write
/// 16 floats behind the last row.
using SpmmPackFn = void (*)(const SpmmTile& tile, std::size_t k_begin, std::size_t k_end,
                            float* buffer);
SpmmPackFn ChooseSpmmPack(SpmmInputKind kind) noexcept;

/// One row block x K block x tile.
struct SpmmRows {
  const float* x;  ///< The packed buffer.
  std::size_t x_ld;
  const PackedVisit* visit;
  const PackedVisit* visit_end;
  const void* values;
  const std::uint16_t* offsets;
  std::size_t rows;    ///< Of the row block; strips may reach behind it.
  std::size_t strips;  ///< Register tiles side by side in the tile; a row does all of them.
  bool first;          ///< First K block: sums begin at the bias, not at `partial`.
  bool last;           ///< Last K block: results go to `y`, not to `partial`.
  float* partial;      ///< [rows, x_ld]
  float* y;
  std::size_t y_ld;
  std::size_t count;       ///< Pixels, as in the tile.
  std::size_t last_start;  ///< As in the tile.
  const float* bias;       ///< Of the block's first row, or null.
  const float* residual;   ///< As y, or null.
  std::size_t residual_ld;
  Activation activation;
};

using SpmmRowsFn = void (*)(const SpmmRows& rows);
/// @param vectors  Of a strip: 1..SpmmMaxVectors(kind).
SpmmRowsFn ChooseSpmmRows(PackedKind kind, PackedValue value, std::size_t vectors) noexcept;

/// The same by kind; where the code is.
SpmmRowsFn ChooseSpmmFloatRows(std::size_t vectors) noexcept;
SpmmRowsFn ChooseSpmmHalfRows(PackedValue value, std::size_t vectors) noexcept;
SpmmRowsFn ChooseSpmmBlocks(PackedKind kind, PackedValue value, std::size_t vectors) noexcept;
SpmmRowsFn ChooseSpmmColumns(PackedValue value, std::size_t vectors) noexcept;

/// Rows [0, rows) of `tile` (ld floats apart) to tokens: y[p * y_ld + row], with residual and
/// activation.
struct SpmmTokens {
  const float* tile;
  std::size_t ld;
  std::size_t rows;
  std::size_t count;  ///< Pixels.
  std::size_t last_start;
  std::size_t vectors;
  float* y;
  std::size_t y_ld;
  const float* residual;
  std::size_t residual_ld;
  Activation activation;
};
using SpmmTokensFn = void (*)(const SpmmTokens& tokens);
SpmmTokensFn ChooseSpmmTokens(ActivationKind kind) noexcept;

}  // namespace espalier::internal
