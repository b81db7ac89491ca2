#pragma once

#include "runtime/ops/index.h"

namespace espalier::runtime {

/// A number for each element, so that numbers compare as the elements do: both zeros are equal, NaN
/// is above all. Those of types of up to 32 bits are below 2^32.
/// @param stride  Elements from one to the next of `x`.
/// @throws Error  kUnsupported for types that have no order.
void OrderKeys(DType dtype, const std::byte* x, std::size_t stride, std::size_t count,
               std::uint64_t* keys);

}  // namespace espalier::runtime
