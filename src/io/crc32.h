#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace espalier::internal {

/// The checksum of zip files, of `bytes` after others with the checksum `before`.
/// @source  ISO 3309's polynomial, reflected: 0xEDB88320. Eight tables, eight bytes a step
/// (Kounavis
///          and Berry, 2005). In place of zlib's, without which this folder builds.
std::uint32_t Crc32(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace espalier::internal
