#include "data/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "data/unpack.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

constexpr unsigned kStored = 0;
constexpr unsigned kDeflated = 8;

ZipBytes BytesOf(const ByteSource& source) {
  return {source.size(), [&source](std::uint64_t offset, std::span<std::byte> out) {
            source.ReadAt(offset, out);
          }};
}

std::uint32_t Checksum(const ByteSource& source) {
  std::vector<std::byte> chunk(std::size_t{1} << 18);
  uLong sum = crc32(0, nullptr, 0);
  for (std::uint64_t at = 0; at < source.size();) {
    const auto part =
        std::span(chunk).first(std::min<std::uint64_t>(chunk.size(), source.size() - at));
    source.ReadAt(at, part);
    sum = crc32(sum, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(part.size()));
    at += part.size();
  }
  return static_cast<std::uint32_t>(sum);
}

void CheckReadable(const ZipEntry& entry, std::uint64_t most) {
  if ((entry.flags & 1u) != 0) throw Error(ErrorCode::kUnsupported, "the file is encrypted");
  if (entry.method != kStored && entry.method != kDeflated) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("compression method {}; stored (0) and deflated (8) are supported",
                            entry.method));
  }
  if (entry.method == kStored && entry.size != entry.packed_size) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("stored, but with the sizes {} and {}", entry.packed_size, entry.size));
  }
  if (entry.size > most) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("unpacks to {} bytes, more than the limit of {}", entry.size, most));
  }
}

}  // namespace

std::vector<ZipEntry> ReadZipIndex(const ByteSource& source) {
  return ReadZipIndex(BytesOf(source));
}

SharedBytes OpenZipEntry(const SharedBytes& source, const ZipEntry& entry, std::uint64_t most) {
  try {
    CheckReadable(entry, most);
    SharedBytes content =
        SliceOf(source, ZipDataOffset(BytesOf(*source), entry), entry.packed_size);
    if (entry.method == kDeflated) content = Inflate(*content, Wrapping::kRaw, entry.size);
    if (content->size() != entry.size) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("unpacks to {} bytes instead of {}", content->size(), entry.size));
    }
    if (const std::uint32_t sum = Checksum(*content); sum != entry.crc) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("checksum {:08x} instead of {:08x}", sum, entry.crc));
    }
    return content;
  } catch (Error& error) {
    error.AddContext(fmt::format("reading {} in the zip archive", Quote(entry.name)));
    throw;
  }
}

}  // namespace espalier::internal
