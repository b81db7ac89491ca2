#pragma once

#include <optional>

#include "espalier/prune/verify.h"
#include "prune/values.h"

namespace espalier {

/// First place where a layer breaks a per-group pattern, in packed coordinates of the whole layer.
/// `layer` may be a copy of the store's with another view of the same elements.
std::optional<Violation> FindViolationIn(const WeightStore& store, std::size_t index,
                                         const Layer& layer, const Pattern& pattern);

/// Zeros of a layer.
std::uint64_t CountZeros(const WeightStore& store, std::size_t index);

/// Units of a ranked pattern that are zero as a whole.
std::uint64_t CountZeroUnits(const WeightStore& store, std::size_t index, const Pattern& pattern);

/// The verdict on one layer; reads it until the first group that is not 2:4.
/// @param look_closer  Whether to look for 2:4 along other axes, in up to 2^22 of the weights.
/// @source NVIDIA/TensorRT issues 3849 (C and K above about 256 to gain), 4054 (no grouped
///         convolutions); cuSPARSELt documentation of cusparseLtStructuredDescriptorInit (multiples
///         of 32 for int8); TensorRT developer guide, "Structured sparsity" (2 of 4 along C) and
///         "Explicit quantization" (zero point 0 only).
TensorRtVerdict TensorRtVerdictOn(const WeightStore& store, std::size_t index, bool look_closer);

}  // namespace espalier
