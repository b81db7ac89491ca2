#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/kernels/magnitude.h"
#include "espalier/prune/criterion.h"
#include "prune/weight_chunk.h"

namespace espalier {

/// Real values of a chunk's weights: integer weights times their scale, float64 rounded to float32
/// (clamped to its range; a nonzero never becomes zero).
void DecodeValues(const Layer& layer, const WeightChunk& chunk, std::vector<float>* values);

/// The criterion's score of each weight of a chunk.
/// @throws Error  kInvalidArgument if a score is not finite or is negative, with the criterion's
/// name.
void ScoreChunk(const Criterion& criterion, const Layer& layer, const WeightChunk& chunk,
                std::vector<float>* scores);

/// Sum of magnitudes, zeros, finiteness. An integer weight is zero at its zero point.
MagnitudeStats MeasureChunk(const Layer& layer, const WeightChunk& chunk);

/// 1 where a weight is not zero, else 0; -0.0 is zero.
void FindNonzeros(const Layer& layer, const WeightChunk& chunk, std::vector<std::uint8_t>* nonzero);

/// Sets to zero (integers: to their zero point) where `keep` is 0.
void ZeroDropped(const Layer& layer, std::span<const std::uint8_t> keep, WeightChunk* chunk);

/// @throws Error  kBadFile with the layer's name and the first place that is NaN or infinite.
void CheckFinite(const Layer& layer, const WeightChunk& chunk, const MagnitudeStats& stats);

}  // namespace espalier
