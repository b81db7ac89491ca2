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
  /// at several indices: behind Flatten, one for each pixel.
  std::vector<std::uint32_t> channels;
  /// A layer sums over this axis: these are its input channels. Else the tensor makes, scales or
  /// shifts the channels.
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
  std::vector<ChannelCell> cells;      ///< Of two channels or more; disjoint.
  std::vector<CoupledTensor> tensors;  ///< In the order in which the network reads them.
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
///          reads those; also those that cannot move at all, with the reason. Groups that own
///          cells (heads) come behind all others and may have no tensor.
/// Never throws on a malformed graph: what cannot be understood stays in place.
/// @cost  One walk over the nodes and a few bytes an element; constants' bytes are not read, except
///        small integer ones (shapes, indices).
std::vector<CouplingGroup> FindCoupledChannels(const Graph& graph);

}  // namespace espalier
