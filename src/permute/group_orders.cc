#include "permute/group_orders.h"

#include <utility>

namespace espalier::internal {
namespace {

std::vector<std::uint32_t> IndicesFor(const CoupledTensor& tensor, std::size_t channels,
                                      std::span<const std::uint32_t> takes) {
  std::vector<std::vector<std::uint32_t>> copies(channels);
  for (std::uint32_t i = 0; i < tensor.channels.size(); ++i) {
    if (tensor.channels[i] != kNoChannel) copies[tensor.channels[i]].push_back(i);
  }
  std::vector<std::uint32_t> from(tensor.channels.size());
  std::vector<std::size_t> used(channels);
  for (std::uint32_t i = 0; i < from.size(); ++i) {
    const std::uint32_t channel = tensor.channels[i];
    from[i] = channel == kNoChannel ? i : copies[takes[channel]].at(used[channel]++);
  }
  return from;
}

}  // namespace

std::vector<TensorOrder> OrdersOf(const Graph& graph, const CouplingGroup& group,
                                  std::span<const std::uint32_t> takes) {
  std::vector<TensorOrder> orders;
  for (const CoupledTensor& tensor : group.tensors) {
    std::vector<std::uint32_t> from = IndicesFor(tensor, group.channels, takes);
    bool moves = false;
    for (std::uint32_t i = 0; i < from.size(); ++i) moves = moves || from[i] != i;
    if (!moves) continue;
    const Constant& constant = graph.constants[static_cast<std::size_t>(tensor.constant)];
    orders.push_back({constant.name, tensor.axes, std::move(from)});
  }
  return orders;
}

}  // namespace espalier::internal
