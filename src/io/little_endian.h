#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier::internal {

/// Unsigned little-endian number of `count` <= 8 bytes.
inline std::uint64_t LittleEndian(const std::byte* bytes, int count) {
  std::uint64_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | std::to_integer<unsigned>(bytes[i]);
  return value;
}

}  // namespace espalier::internal
