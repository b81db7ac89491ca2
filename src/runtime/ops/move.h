#pragma once

#include "runtime/ops/dispatch.h"
#include "runtime/ops/strided_copy.h"

namespace espalier::runtime {

// The parts of MoveOps().
std::span<const OpEntry> ReshapeOps();  // views: Reshape, Flatten, Squeeze, ...
std::span<const OpEntry> JoinOps();     // Concat, Split, Slice
std::span<const OpEntry> PermuteOps();  // Transpose, Expand, Tile, DepthToSpace, ...
std::span<const OpEntry> PadOps();
std::span<const OpEntry> FillOps();  // Shape, Size, ConstantOfShape, EyeLike, Range, Trilu

template <typename T>
std::unique_ptr<Op> MakeOf(const OpBuild& build) {
  if constexpr (std::is_constructible_v<T, const OpBuild&>) {
    return std::make_unique<T>(build);
  } else {
    return std::make_unique<T>();
  }
}

/// Elements from one to the next along each axis of a row-major tensor.
inline void StridesOf(const Dims& dims, std::vector<std::int64_t>* strides) {
  strides->resize(dims.size());
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    (*strides)[i] = stride;
    stride *= std::max<std::int64_t>(dims[i], 1);
  }
}

}  // namespace espalier::runtime
