#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier {

/// An index of a tensor that belongs to no channel of the group.
inline constexpr std::uint32_t kNoChannel = 0xFFFFFFFF;

/// How a stored tensor is cut into the channels of a group.
struct CoupledTensor {
  int constant = -1;      ///< Index in Graph::constants.
  std::vector<int> axes;  ///< Mostly one; several where one channel axis is stored as several.
  /// Channel at each index along `axes` (row-major over them), or kNoChannel. A channel may stand
  /// at several indices: behind Flatten, one for each pixel; in the weights [out, in / groups, ...]
  /// of a grouped convolution, whose input channels are those of axes {0, 1}, one for each filter
  /// of its group. If channel b takes the place of channel a, what stands at the k-th index of b
  /// goes to the k-th index of a, for each k. Channels of one cell stand at equally many indices.
  std::vector<std::uint32_t> channels;
  /// A layer sums over this axis: these are its input channels. Else the tensor makes, scales or
  /// shifts the channels. The same constant may come twice, with other axes: a permutation is
  /// applied to each of them, in any order.
  bool reduced = false;
};

/// Channels that may take each other's places: they occur on the same axes of the same values, and
/// nothing tells them apart.
struct ChannelCell {
  std::vector<std::uint32_t> channels;  ///< Rising.
  /// The channels inside one head of attention, or one group of a grouped convolution or of
  /// GroupNormalization, belong to a channel of another group, the head; -1 if to none.
  int owner_group = -1;
  std::uint32_t owner_channel = 0;
};

/// Channels of several tensors that must be permuted, kept or removed together.
struct CouplingGroup {
  std::size_t channels = 0;
  std::vector<ChannelCell> cells;  ///< Of two channels or more; disjoint.
  /// In the order in which the network reads them. No axis of a constant is in two of them, but for
  /// axis 0 of grouped convolutions.
  std::vector<CoupledTensor> tensors;
  /// Why channels outside of the cells stay where they are: "they are the output 'y'", "CumSum
  /// 'c' adds along them", "Espalier does not know MyOp". Empty if all of them are in cells.
  std::string refusal;
};

/// Finds the channels that are coupled: all places that must be reordered together, so that the
/// network still computes the same.
///
/// Works on single indices, not on shapes: every index of every axis of every value is an element;
/// each operator says which elements of its inputs and outputs are the same channel. What an
/// operator does not say ties nothing: an operator that Espalier does not know, or one that tells
/// channels apart by their position, holds all elements it touches in place.
///
/// @param graph  Opsets as in the file; shapes are inferred. An axis of unknown length is held.
/// @return  Groups with at least one axis that a layer sums over, in the order in which the network
///          reads those; also those that cannot move at all, with the reason. For queries and keys,
///          the layer is their product: no stored tensor of such a group may be `reduced`. Groups
///          that own cells (heads) come behind all others, may have no tensor, and have no cells:
///          whoever moves a head must move all that it owns. One group without channels, with the
///          reason, if the graph as a whole cannot be followed.
/// Never throws on a malformed graph: what cannot be understood stays in place.
/// @cost  One walk over the nodes and a few bytes an element; constants' bytes are not read, except
///        small integer ones (shapes, indices).
std::vector<CouplingGroup> FindCoupledChannels(const Graph& graph);

}  // namespace espalier
