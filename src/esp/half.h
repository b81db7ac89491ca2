#pragma once

#include <bit>
#include <cstdint>

// Conversions between the bits of float32 and of the 16-bit floats, without branches where they run
// for each weight. None meets a subnormal float32 where it matters, so that threads which flush
// subnormals to zero read the same weights.
namespace espalier::internal {

/// Bits of the float32 with the value of a binary16; infinities and NaN stay such.
inline std::uint32_t FloatBitsOfHalf(std::uint32_t half) noexcept {
  const auto magnitude = static_cast<std::int32_t>((half & 0x7FFFu) << 13);
  // Masks instead of choices: GCC 12 turns choices into branches, three times as slow in a loop.
  const std::int32_t subnormal = (magnitude - 0x00800000) >> 31;
  const std::int32_t special = (0x0F7FFFFF - magnitude) >> 31;
  // Exponent bias 15 -> 127; for a subnormal 2^-14 * (1 + fraction) - 2^-14, exact.
  const std::int32_t shifted =
      magnitude + 0x38000000 + (special & 0x38000000) - (subnormal & -0x00800000);
  const float offset = std::bit_cast<float>(subnormal & 0x38800000);
  const float value = std::bit_cast<float>(shifted) - offset;
  return std::bit_cast<std::uint32_t>(value) | (half & 0x8000u) << 16;
}

/// Nearest binary16, ties to even, of a float32 that is not a NaN; infinity from 65520 on.
inline std::uint16_t HalfOfFloatBits(std::uint32_t bits) noexcept {
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {  // 0.5 has its last bit at 2^-24, where a subnormal half has it
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - 0x3F000000u));
  }
  magnitude += 0xFFFu + (magnitude >> 13 & 1u);
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u) >> 13));
}

inline std::uint32_t FloatBitsOfBFloat16(std::uint32_t bits) noexcept { return bits << 16; }

/// Nearest bfloat16, ties to even, of a float32 that is not a NaN.
inline std::uint16_t BFloat16OfFloatBits(std::uint32_t bits) noexcept {
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace espalier::internal
