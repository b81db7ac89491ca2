#pragma once

#include <cstdint>
#include <vector>

#include "data/byte_source.h"
#include "io/zip_index.h"

namespace espalier::internal {

/// The files of a zip or zip64 archive.
/// @throws Error  kBadFile, with the byte, if the directory is missing, truncated or malformed;
///                kUnsupported for archives in several volumes.
std::vector<ZipEntry> ReadZipIndex(const ByteSource& source);

/// The content of one file, its checksum compared.
/// @throws Error  kBadFile if it is corrupt, or larger than `most`; kUnsupported, named, for
///                encryption and for methods other than stored and deflated.
SharedBytes OpenZipEntry(const SharedBytes& source, const ZipEntry& entry, std::uint64_t most);

}  // namespace espalier::internal
