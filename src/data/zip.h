#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/byte_source.h"

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
};

/// The files of a zip or zip64 archive.
/// @throws Error  kBadFile, with the byte, if the directory is missing, truncated or malformed;
///                kUnsupported for archives in several volumes.
std::vector<ZipEntry> ReadZipIndex(const ByteSource& source);

/// The content of one file, its checksum compared.
/// @throws Error  kBadFile if it is corrupt, or larger than `most`; kUnsupported, named, for
///                encryption and for methods other than stored and deflated.
SharedBytes OpenZipEntry(const SharedBytes& source, const ZipEntry& entry, std::uint64_t most);

}  // namespace espalier::internal
