#include "esp/packing.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace espalier::internal {
namespace {

std::uint64_t WordBytes(std::uint64_t bits) { return (bits + 63) / 64 * 8; }

// C(group, kept), exact: each product of i consecutive numbers is a multiple of i!.
std::uint64_t Choices(std::uint32_t group, std::uint32_t kept) {
  std::uint64_t choices = 1;
  for (std::uint32_t i = 1; i <= kept; ++i) choices = choices * (group - kept + i) / i;
  return choices;
}

}  // namespace

std::size_t UnitBytes(DType dtype) noexcept {
  return std::clamp<std::size_t>(DTypeBits(dtype) / 8, 1, 8);
}

std::size_t ValueBytes(const Packing& packing, DType dtype) noexcept {
  return packing.values == ValueType::kExact ? UnitBytes(dtype) : 2;
}

std::uint64_t PositionBytes(const Packing& packing, std::uint64_t units) noexcept {
  switch (packing.encoding) {
    case Encoding::kBitmap:
      return WordBytes(units);
    case Encoding::kChoice:
      return WordBytes(units / packing.group *
                       ChoiceBits(static_cast<std::size_t>(Choices(packing.group, packing.kept))));
    case Encoding::kGaps:
      return WordBytes(packing.codes * packing.width);
    default:
      return 0;
  }
}

std::uint64_t PayloadBytes(const Packing& packing, DType dtype, std::uint64_t units) noexcept {
  if (packing.encoding < Encoding::kRaw || packing.encoding == Encoding::kFill) return 0;
  return PositionBytes(packing, units) + packing.count * ValueBytes(packing, dtype);
}

std::string EncodingText(const Packing& packing) {
  constexpr std::string_view kNames[] = {"none", "inline", "raw", "fill", "bitmap"};
  constexpr std::string_view kValues[] = {"", " float16", " bfloat16"};
  const std::string_view values = kValues[static_cast<std::size_t>(packing.values)];
  if (packing.encoding == Encoding::kChoice) {
    return fmt::format("{} of {}{}", packing.kept, packing.group, values);
  }
  if (packing.encoding == Encoding::kGaps) {
    return fmt::format("gaps of {} bits{}", packing.width, values);
  }
  return fmt::format("{}{}", kNames[static_cast<std::size_t>(packing.encoding)], values);
}

std::vector<std::uint16_t> ChoiceMasks(std::uint32_t group, std::uint32_t kept) {
  std::vector<std::uint16_t> masks;
  for (std::uint32_t mask = 0; mask < 1u << group; ++mask) {
    if (static_cast<std::uint32_t>(std::popcount(mask)) == kept) {
      masks.push_back(static_cast<std::uint16_t>(mask));
    }
  }
  return masks;
}

std::uint32_t ChoiceBits(std::size_t masks) noexcept {
  return static_cast<std::uint32_t>(std::bit_width(masks - 1));
}

}  // namespace espalier::internal
