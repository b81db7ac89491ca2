#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/graph/coupling.h"
#include "espalier/permute/tensor_order.h"

namespace espalier::internal {

/// What has to be reordered so that each channel's place is taken by channel takes[channel]. Copies
/// of a channel in one tensor are matched in their order. Tensors that stay as they are are left
/// out.
/// @param takes  A permutation of the group's channels that keeps each in its cell.
std::vector<TensorOrder> OrdersOf(const Graph& graph, const CouplingGroup& group,
                                  std::span<const std::uint32_t> takes);

}  // namespace espalier::internal
