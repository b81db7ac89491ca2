#pragma once

#include <cstddef>
#include <span>

#include "espalier/io/pth.h"

namespace espalier::internal {

/// Copies the elements that the entry's strides pick from `from`, its bytes [begin, end), to `out`
/// in row-major order.
void Gather(const PthEntry& entry, std::span<const std::byte> from, std::span<std::byte> out);

/// The way back: row-major elements to where the strides want them in `to`.
void Scatter(const PthEntry& entry, std::span<const std::byte> from, std::span<std::byte> to);

}  // namespace espalier::internal
