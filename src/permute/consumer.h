#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "espalier/graph/coupling.h"
#include "espalier/graph/layers.h"
#include "espalier/pattern/pattern.h"

namespace espalier::internal {

/// M input channels of a layer that an N:M pattern looks at together, in their order.
using Window = std::vector<std::uint32_t>;

/// A layer that sums over the channels of a group: magnitudes of its weights in the packed order
/// [groups][out][positions][in], and which channel stands at each input.
class Consumer {
 public:
  /// @param weighting  Factor for all magnitudes.
  /// @throws Error  kBadFile if a weight is NaN or infinite.
  Consumer(const Graph& graph, const Layer& layer, const CoupledTensor& tensor, const NmGroup& nm,
           double weighting);

  std::size_t rows() const { return scores_.size() / inputs_; }  ///< Groups x out x positions.
  std::size_t inputs() const { return inputs_; }                 ///< Of one convolution group.
  std::size_t groups() const { return channel_.size() / inputs_; }
  std::uint32_t ChannelAt(std::size_t group, std::size_t input) const {
    return channel_[group * inputs_ + input];
  }

  /// The whole windows of M inputs, those of the first convolution group first.
  std::vector<Window> Windows() const;

  /// Sum of all magnitudes.
  double Total() const;

  /// Sum of the magnitudes that N:M keeps if each channel's place is taken by takes[channel].
  double Kept(std::span<const std::uint32_t> takes) const;

  /// Appends the magnitudes of all rows that read these channels: [rows, channels.size()]. Returns
  /// the number of rows.
  /// @param channels  All in one convolution group, or in each.
  std::size_t AppendColumns(std::span<const std::uint32_t> channels,
                            std::vector<float>* scores) const;

 private:
  std::size_t RowsOfGroup() const { return rows() / groups(); }

  NmGroup nm_;
  std::size_t inputs_;
  std::vector<float> scores_;           // [rows][inputs]
  std::vector<std::uint32_t> channel_;  // [groups][inputs]
};

}  // namespace espalier::internal
