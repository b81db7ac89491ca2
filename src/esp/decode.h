#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "esp/packing.h"

namespace espalier::internal {

/// Memory that Expand() needs for a constant: the payload, room behind it to read words from any
/// byte on, and room for 16-bit values as float32. Up to the payload and the dense size together.
std::uint64_t WorkBytes(const Packing& packing, std::uint64_t payload_bytes) noexcept;

/// Expands a constant.
///
/// @param packing  Of encoding kRaw to kGaps and consistent with `units`, as the reader of section
///                 CNST checks: count <= units, shape of groups, width.
/// @param work     WorkBytes(), of which the first are the payload; the others change. Not used for
///                 kFill.
/// @param out      Bytes of all units, zero before.
/// @return  What is wrong with the positions, or null. `out` is then written in part.
const char* Expand(const Packing& packing, DType dtype, std::span<std::byte> work,
                   std::span<std::byte> out);

}  // namespace espalier::internal
