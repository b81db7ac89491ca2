#pragma once

#include <optional>
#include <string>
#include <variant>

#include "espalier/graph/layers.h"
#include "graph/weight_role.h"

namespace espalier {

/// Scale and zero point of an integer weight, from the DequantizeLinear on its way or from the
/// inputs of the integer operator that reads it.
/// @return  A sentence if they are not constant, or run along an axis that is neither output nor
///          input channels, or come in blocks, or a zero point is no value of type `stored`.
std::variant<Quantization, std::string> FindQuantization(const Graph& graph,
                                                         const ConstantIndex& constants,
                                                         const ConstantUse& use,
                                                         const WeightRole& role, DType stored);

/// What QuantizeLinear and DequantizeLinear on the way of a float weight round it to.
/// @return  Nothing if it does not pass both, or their parameters are not constant, differ, or are
///          not of type int8 or uint8.
std::optional<Quantization> FindFakeQuantization(const Graph& graph, const ConstantIndex& constants,
                                                 const ConstantUse& use, const WeightRole& role);

}  // namespace espalier
