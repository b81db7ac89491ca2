#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "espalier/base/dtype.h"

namespace espalier::internal {

/// How a constant's bytes are stored; the numbers are those of the file.
enum class Encoding : std::uint8_t {
  kNone = 0,    ///< No bytes: strings and unknown types.
  kInline = 1,  ///< As they are, in section CNST.
  kRaw = 2,     ///< All values.
  kFill = 3,    ///< One value for all.
  kBitmap = 4,  ///< A bit for each unit that differs from the fill value, and these values.
  kChoice = 5,  ///< `kept` values in each group of `group`, and which positions they have.
  kGaps = 6,    ///< Values that differ, and the number of fill values before each.
};
constexpr std::uint8_t kLastEncoding = 6;

/// How values are stored.
enum class ValueType : std::uint8_t { kExact = 0, kHalf = 1, kBFloat16 = 2 };
constexpr std::uint8_t kLastValueType = 2;

/// Constants up to this size are kInline: a place of their own costs 32 bytes on average.
constexpr std::uint64_t kInlineBytes = 256;

/// Everything that section CNST says of a constant beside its name and type. Positions count units:
/// elements, but bytes of 4-bit types and halves of complex128.
struct Packing {
  Encoding encoding = Encoding::kNone;
  ValueType values = ValueType::kExact;
  std::uint64_t fill = 0;      ///< Bits of the fill value, one unit.
  std::uint64_t count = 0;     ///< Values stored.
  std::uint32_t group = 0;     ///< kChoice: units in a group: 2, 4, 8 or 16.
  std::uint32_t kept = 0;      ///< kChoice: values in a group.
  std::uint64_t inner = 1;     ///< kChoice: units from one of a group to the next.
  std::uint32_t width = 0;     ///< kGaps: bits of a code, up to kMostGapBits.
  std::uint64_t codes = 0;     ///< kGaps: codes stored.
  std::uint64_t checksum = 0;  ///< Of the bytes in section DATA.
};
constexpr std::uint32_t kMostGapBits = 12;

/// Bytes of a unit: 1, 2, 4 or 8.
std::size_t UnitBytes(DType dtype) noexcept;

/// Bytes of one stored value.
std::size_t ValueBytes(const Packing& packing, DType dtype) noexcept;

/// Bytes of the positions in section DATA, a multiple of 8. `units` up to 2^60.
std::uint64_t PositionBytes(const Packing& packing, std::uint64_t units) noexcept;

/// Bytes in section DATA, without padding.
std::uint64_t PayloadBytes(const Packing& packing, DType dtype, std::uint64_t units) noexcept;

/// "bitmap float16", "2 of 4", "gaps of 3 bits".
std::string EncodingText(const Packing& packing);

/// All masks of `group` bits (up to 16) with `kept` ones, ascending: the meaning of kChoice's
/// codes.
std::vector<std::uint16_t> ChoiceMasks(std::uint32_t group, std::uint32_t kept);

/// Bits of a code of kChoice.
std::uint32_t ChoiceBits(std::size_t masks) noexcept;

}  // namespace espalier::internal
