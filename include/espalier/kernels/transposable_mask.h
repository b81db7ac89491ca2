#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier {

/// Chooses for every 4x4 tile the best of the 90 masks with two kept per row and per column: the
/// one with the largest sum of scores, so that the matrix and its transpose are both 2:4. Exact
/// search, no greedy step. Masks, their order, the order of the additions and so the winner among
/// equal sums are those of BestTransposableMask() in pattern/transposable_masks.h, which the
/// reference calls. Tiles that stick out over the last row or column count the missing scores as
/// zero; `keep` is only written inside the matrix.
///
/// @param scores  [rows, cols] at `row_stride` elements from row to row; finite, >= 0.
/// @param keep    [rows, cols] at the same stride; receives 1 (keep) or 0.
/// @cost   One pass, no allocation. Same bytes on every ISA.
/// @source apex ASP m4n2_2d_best; Hubara et al., "Accelerated Sparse Neural Training", 2021.
void MaskTransposable24(const float* scores, std::size_t rows, std::size_t cols,
                        std::size_t row_stride, std::uint8_t* keep) noexcept;

/// The same in plain loops: the oracle of the tests.
void MaskTransposable24Reference(const float* scores, std::size_t rows, std::size_t cols,
                                 std::size_t row_stride, std::uint8_t* keep) noexcept;

/// Chooses as MaskTransposable24 with scores |value|, and sets what is dropped to +0.0, in place.
/// @param values  [rows, cols], contiguous; finite.
void PruneTransposable24(float* values, std::size_t rows, std::size_t cols) noexcept;
void PruneTransposable24Reference(float* values, std::size_t rows, std::size_t cols) noexcept;

}  // namespace espalier
