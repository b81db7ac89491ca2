#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/byte_source.h"

namespace espalier::internal {

/// A regular file in a tar archive.
struct TarEntry {
  std::string path;          ///< As stored, without a leading "./".
  std::uint64_t offset = 0;  ///< Of its data in the archive.
  std::uint64_t size = 0;
};

/// Whether the bytes begin with a tar header, seen from its checksum.
bool IsTar(const ByteSource& source);

/// Regular files of a ustar, pax, GNU or v7 archive, in its order, hard links among them; symbolic
/// links, folders and devices are passed.
/// @throws Error  kBadFile, with the byte, for a wrong checksum, a malformed number or pax record,
/// a
///                hard link to nothing, and an archive that ends within an entry or without its
///                mark of zeros; kUnsupported for sparse files.
std::vector<TarEntry> ReadTarIndex(const ByteSource& source);

}  // namespace espalier::internal
