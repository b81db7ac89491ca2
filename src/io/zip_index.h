#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace espalier::internal {

/// A file in a zip archive, as its central directory tells.
struct ZipEntry {
  std::string name;
  unsigned method = 0;  ///< 0 stored, 8 deflated.
  unsigned flags = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed_size = 0;
  std::uint64_t size = 0;
  std::uint64_t header_at = 0;  ///< Offset of its local header.
  std::uint64_t record_at = 0;  ///< Offset of its record in the directory.
};

/// An archive's bytes, wherever they are.
struct ZipBytes {
  std::uint64_t size = 0;
  /// Fills the span from the offset; throws Error kBadFile where the archive ends before.
  std::function<void(std::uint64_t offset, std::span<std::byte> out)> read;
};

/// Where a zip archive's directory lies.
struct ZipDirectory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// @throws Error  kBadFile, with the byte, if there is none or it does not lie in the archive;
///                kUnsupported for archives in several volumes.
ZipDirectory FindZipDirectory(const ZipBytes& archive);

/// The files of a zip or zip64 archive.
/// @throws Error  as FindZipDirectory(); kBadFile if the directory is truncated, malformed or over
///                64 MiB.
std::vector<ZipEntry> ReadZipIndex(const ZipBytes& archive);

/// Offset of a file's bytes, packed as they are.
/// @throws Error  kBadFile if there is no local header for it.
std::uint64_t ZipDataOffset(const ZipBytes& archive, const ZipEntry& entry);

}  // namespace espalier::internal
