#include "io/zip_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "espalier/base/error.h"
#include "io/little_endian.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kEndSize = 22;  // end of central directory, without its comment
constexpr std::size_t kMostComment = 65535;
constexpr std::size_t kLocatorSize = 20;  // of the zip64 end record
constexpr std::size_t kEnd64Size = 56;
constexpr std::size_t kCentralSize = 46;
constexpr std::size_t kLocalSize = 30;
constexpr std::uint32_t kEndMagic = 0x06054b50;
constexpr std::uint32_t kLocatorMagic = 0x07064b50;
constexpr std::uint32_t kEnd64Magic = 0x06064b50;
constexpr std::uint32_t kCentralMagic = 0x02014b50;
constexpr std::uint32_t kLocalMagic = 0x04034b50;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;  // a 32-bit field whose value the zip64 part has
constexpr std::uint64_t kMostDirectory = std::uint64_t{64} << 20;

std::uint32_t Read32(const std::byte* at) {
  return static_cast<std::uint32_t>(LittleEndian(at, 4));
}
unsigned Read16(const std::byte* at) { return static_cast<unsigned>(LittleEndian(at, 2)); }

ZipDirectory Find64(const ZipBytes& archive, std::uint64_t end_at) {
  if (end_at < kLocatorSize) throw Error(ErrorCode::kBadFile, "zip64 locator missing");
  std::byte locator[kLocatorSize];
  archive.read(end_at - kLocatorSize, locator);
  if (Read32(locator) != kLocatorMagic) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("no zip64 locator at byte {}", end_at - kLocatorSize));
  }
  const std::uint64_t at = LittleEndian(locator + 8, 8);
  std::byte end[kEnd64Size];
  archive.read(at, end);
  if (Read32(end) != kEnd64Magic) {
    throw Error(ErrorCode::kBadFile, fmt::format("no zip64 end record at byte {}", at));
  }
  return {LittleEndian(end + 48, 8), LittleEndian(end + 40, 8)};
}

ZipDirectory FindAnywhere(const ZipBytes& archive) {
  const std::uint64_t tail = std::min<std::uint64_t>(archive.size, kEndSize + kMostComment);
  std::vector<std::byte> bytes(tail);
  archive.read(archive.size - tail, bytes);
  for (std::size_t i = tail < kEndSize ? 0 : tail - kEndSize + 1; i-- > 0;) {
    const std::byte* const end = bytes.data() + i;
    // The comment has to reach the end of the file exactly: its bytes could look like a record.
    if (Read32(end) != kEndMagic || Read16(end + 20) != tail - i - kEndSize) continue;
    if (Read16(end + 4) != Read16(end + 6)) {
      throw Error(ErrorCode::kUnsupported, "zip archives in several volumes are not supported");
    }
    const ZipDirectory directory = {Read32(end + 16), Read32(end + 12)};
    if (directory.offset != kIn64 && directory.size != kIn64) return directory;
    return Find64(archive, archive.size - tail + i);
  }
  throw Error(ErrorCode::kBadFile,
              fmt::format("no zip directory at the end of {} bytes; the archive is truncated or "
                          "no zip",
                          archive.size));
}

// The zip64 extra field has, in this order, those of the three values that are kIn64.
void ApplyExtra64(std::span<const std::byte> extra, ZipEntry& entry) {
  constexpr unsigned kZip64 = 1;
  while (extra.size() >= 4) {
    const unsigned id = Read16(extra.data());
    const std::size_t size = Read16(extra.data() + 2);
    extra = extra.subspan(4);
    if (size > extra.size()) break;
    std::span<const std::byte> field = extra.first(size);
    for (std::uint64_t* value : {&entry.size, &entry.packed_size, &entry.header_at}) {
      if (id != kZip64 || *value != kIn64 || field.size() < 8) continue;
      *value = LittleEndian(field.data(), 8);
      field = field.subspan(8);
    }
    extra = extra.subspan(size);
  }
}

ZipEntry ReadCentral(std::span<const std::byte> bytes, std::size_t name_size,
                     std::size_t extra_size) {
  const std::byte* const at = bytes.data();
  ZipEntry entry;
  entry.flags = Read16(at + 8);
  entry.method = Read16(at + 10);
  entry.crc = Read32(at + 16);
  entry.packed_size = Read32(at + 20);
  entry.size = Read32(at + 24);
  entry.header_at = Read32(at + 42);
  entry.name.assign(reinterpret_cast<const char*>(at) + kCentralSize, name_size);
  ApplyExtra64(bytes.subspan(kCentralSize + name_size, extra_size), entry);
  return entry;
}

}  // namespace

ZipDirectory FindZipDirectory(const ZipBytes& archive) {
  const ZipDirectory directory = FindAnywhere(archive);
  if (directory.size > kMostDirectory) {
    throw Error(ErrorCode::kBadFile, fmt::format("zip directory of {} bytes, the limit is {}",
                                                 directory.size, kMostDirectory));
  }
  if (directory.size > archive.size || directory.offset > archive.size - directory.size) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("zip directory of {} bytes at byte {}, but the archive has {}",
                            directory.size, directory.offset, archive.size));
  }
  return directory;
}

std::vector<ZipEntry> ReadZipIndex(const ZipBytes& archive) {
  const ZipDirectory directory = FindZipDirectory(archive);
  std::vector<std::byte> bytes(directory.size);
  archive.read(directory.offset, bytes);
  std::vector<ZipEntry> entries;
  for (std::span<const std::byte> rest = bytes; !rest.empty();) {
    const std::uint64_t at = directory.offset + (bytes.size() - rest.size());
    if (rest.size() < kCentralSize || Read32(rest.data()) != kCentralMagic) {
      throw Error(ErrorCode::kBadFile, fmt::format("malformed zip directory at byte {}", at));
    }
    const std::size_t name_size = Read16(rest.data() + 28);
    const std::size_t extra_size = Read16(rest.data() + 30);
    const std::size_t size = kCentralSize + name_size + extra_size + Read16(rest.data() + 32);
    if (size > rest.size()) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the zip directory ends within the record at byte {}", at));
    }
    entries.push_back(ReadCentral(rest, name_size, extra_size));
    entries.back().record_at = at;
    rest = rest.subspan(size);
  }
  return entries;
}

std::uint64_t ZipDataOffset(const ZipBytes& archive, const ZipEntry& entry) {
  std::byte local[kLocalSize];
  archive.read(entry.header_at, local);
  if (Read32(local) != kLocalMagic) {
    throw Error(ErrorCode::kBadFile, fmt::format("no local header at byte {}", entry.header_at));
  }
  return entry.header_at + kLocalSize + Read16(local + 26) + Read16(local + 28);
}

}  // namespace espalier::internal
