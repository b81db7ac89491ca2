#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/ops/resize_axis.h"

namespace espalier::runtime {

/// Copies elements of `element_bytes` to where the axes' first taps say.
void ResizeNearest(int threads, std::span<const ResizeAxis> axes, std::size_t element_bytes,
                   const std::byte* x, std::byte* y);

/// Weighted sums along one axis: [outer, in, inner] to [outer, out, inner].
template <typename T>
void ResizeAlong(int threads, const ResizeAxis& axis, std::int64_t outer, std::int64_t inner,
                 const T* x, T* y);

}  // namespace espalier::runtime
