#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "espalier/format/packed_matrix.h"

namespace espalier::runtime {

/// Ways to pack a matrix that may be the fastest for it, at most 12, the cost model's favourite
/// first: as single weights, as the blocks or N:M groups that its zeros form, and densely. Weights
/// that 16 bits hold exactly are also tried that way: a third less to read an entry.
/// @param weights     [rows, cols], row-major.
/// @param pixels      Columns of the product's other factor.
/// @param dense_only  Only those that treat zeros as any other weight.
/// @cost   One pass over the weights a kind.
std::vector<PackOptions> PackCandidates(std::span<const float> weights, std::size_t rows,
                                        std::size_t cols, std::size_t pixels, bool dense_only);

/// Whether no weight changes when it is stored as `value`.
bool HoldsExactly(PackedValue value, std::span<const float> weights) noexcept;

}  // namespace espalier::runtime
