#pragma once

#include <cstdint>

#include "espalier/graph/graph.h"

namespace espalier::train {

/// Gives a network new random weights, as for training from scratch: weights of convolutions and
/// linear layers normal with variance 2 / (inputs of an output), their biases 0,
/// BatchNormalization's scale 1, shift 0, mean 0 and variance 1. Other constants stay.
/// @param seed    The same seed gives the same bytes on every machine of one libm.
/// @throws Error  kUnsupported if the graph has no float32 layer, or a layer of another type.
/// @source        He et al., arXiv 1502.01852, section 2.2.
void DrawWeights(Graph* graph, std::uint64_t seed);

}  // namespace espalier::train
