#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/graph/tensor.h"

namespace espalier {

/// A new order of the indices of a stored tensor along some of its axes.
struct TensorOrder {
  std::string constant;             ///< Name of a constant of the main graph.
  std::vector<int> axes;            ///< Rising.
  std::vector<std::uint32_t> from;  ///< New index (row-major over the axes) -> old index.
};

/// The tensor in another order along `axes`. The bytes of each element stay as they are.
/// @throws Error  kInvalidArgument if the axes do not rise within the tensor's, or `from` is not a
///                permutation of their indices; kUnsupported for elements smaller than a byte, or
///                whose bytes are not held.
/// @cost   One copy of the tensor.
Tensor Reordered(const Tensor& tensor, std::span<const int> axes,
                 std::span<const std::uint32_t> from);

/// Reorders constants of a graph and marks them as modified: all, or on an error none.
/// @throws Error  kBadFile if a constant is not in the main graph; errors of Reordered(), with the
///                constant's name.
void ApplyOrders(Graph& graph, std::span<const TensorOrder> orders);

/// Name of the note in Graph::metadata that says what was permuted.
inline constexpr std::string_view kPermutationNote = "espalier.permutations";

/// Adds to the graph's note that `orders` were applied, in this order.
/// @throws Error  kBadFile if there is a note that cannot be read; kUnsupported if a constant's
///                name is not UTF-8.
void NoteOrders(Graph& graph, std::span<const TensorOrder> orders);

/// Takes back all permutations of the note, the last first, and removes the note: every constant
/// has the bytes that it would have without them.
/// @return  Constants that were reordered, each counted once an order.
/// @throws Error  kInvalidArgument if there is no note; kBadFile if it cannot be read or does not
///                fit the graph. Nothing is changed then.
std::size_t UndoPermutations(Graph& graph);

}  // namespace espalier
