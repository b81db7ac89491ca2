#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "graph/shape_rules.h"

namespace espalier::shapes {

/// Computes a node's outputs by value, in order; an empty list if that is not possible. No output
/// has more than kMaxElements elements.
using Fold = std::vector<SmallTensor> (*)(const NodeView& view);

struct FoldEntry {
  std::string_view op_type;  ///< Of ONNX's own domain.
  Fold fold;
};

/// Follows integers (and the floats between two casts) through a node: the values of shapes.
std::vector<SmallTensor> FoldNode(const NodeView& view);

// The table's parts, one a file.
std::span<const FoldEntry> ArithmeticFolds();  // int_folding_arithmetic.cc
std::span<const FoldEntry> MoveFolds();        // int_folding_moves.cc

/// A constant's elements; nothing if it is too large or of another type.
std::shared_ptr<const SmallTensor> SmallTensorOf(const Tensor& tensor);

/// Whether a tensor of these dimensions is small enough to follow.
bool IsSmall(const Dims& dims);

/// Strides of a row-major tensor.
Dims RowMajorStrides(const Dims& dims);

/// Flat positions offset + sum(index * stride), row-major over `dims`, which must be small.
std::vector<std::size_t> StridedPositions(const Dims& dims, const Dims& strides,
                                          std::int64_t offset);

/// Where each element of `out` reads a tensor of `dims` that broadcasts to it.
std::vector<std::size_t> BroadcastPositions(const Dims& dims, const Dims& out);

/// The elements at `positions`, as a tensor of `dims`.
SmallTensor Pick(const SmallTensor& from, Dims dims, const std::vector<std::size_t>& positions);

}  // namespace espalier::shapes
