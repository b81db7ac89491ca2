#pragma once

#include <cstdint>

namespace espalier {

/// Nearest IEEE binary16, ties to even; too large becomes infinity, NaN stays NaN.
std::uint16_t RoundToHalf(float value) noexcept;

/// Nearest bfloat16, ties to even; NaN stays NaN.
std::uint16_t RoundToBFloat16(float value) noexcept;

}  // namespace espalier
