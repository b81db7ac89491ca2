#include "format/round_half.h"

#include <bit>

namespace espalier {
namespace {

// `value` without its lowest `drop` bits, rounded to nearest even.
std::uint32_t RoundShift(std::uint32_t value, unsigned drop) {
  const std::uint32_t half = (1u << (drop - 1)) - 1 + ((value >> drop) & 1u);
  return (value + half) >> drop;
}

}  // namespace

std::uint16_t RoundToHalf(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u;
  } else if (magnitude >= 0x47800000u) {  // 65536 and more
    half = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {  // normal; may round up to infinity, as it should
    half = RoundShift(magnitude - 0x38000000u, 13);
  } else if (magnitude >= 0x33000000u) {  // subnormal: at least half of the smallest, 2^-25
    const unsigned exponent = magnitude >> 23;
    half = RoundShift((magnitude & 0x7FFFFFu) | 0x800000u, 126 - exponent);
  }
  return static_cast<std::uint16_t>(sign | half);
}

std::uint16_t RoundToBFloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>(RoundShift(bits, 16));
}

}  // namespace espalier
