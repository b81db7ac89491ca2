#pragma once

#include <cstdint>

#include "data/byte_source.h"

namespace espalier::internal {

/// How a deflate stream is wrapped.
enum class Wrapping { kGzip, kRaw };

/// Unpacks a deflate stream; with kGzip, all members of a gzip file.
/// @throws Error  kBadFile if it is corrupt, truncated, followed by other bytes, or unpacks to more
///                than `most` bytes; kWriteFailed as Spool.
SharedBytes Inflate(const ByteSource& packed, Wrapping wrapping, std::uint64_t most);

/// Unpacks an .xz file.
/// @throws Error  as Inflate(); kUnsupported if it needs over 128 MiB of memory (xz -9 needs 65).
SharedBytes UnpackXz(const ByteSource& packed, std::uint64_t most);

/// `source`, unpacked if it begins as gzip or xz do.
/// @throws Error  as Inflate() and UnpackXz().
SharedBytes Unpacked(SharedBytes source, std::uint64_t most);

}  // namespace espalier::internal
