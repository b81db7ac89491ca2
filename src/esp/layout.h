#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The outer layout of a compressed file: header, table of sections, sections. docs/esp-format.md.
namespace espalier::internal {

// As PNG's signature: a byte that is no ASCII, line ends that a text transfer would change.
constexpr std::array<unsigned char, 8> kMagic = {0x89, 'E', 'S', 'P', '\r', '\n', 0x1A, '\n'};
constexpr std::uint16_t kMajorVersion = 1;
constexpr std::uint16_t kMinorVersion = 0;
constexpr std::size_t kAlignment = 64;  ///< Of sections and constants: a cache line.
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kMostSections = 64;

/// The largest size of all constants that a file may declare, so that a small hostile file cannot
/// take all memory. A bit a weight and f16 values reach 2048 only above 99.9 % zeros.
constexpr std::uint64_t kFreeDenseBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMostExpansion = 2048;
constexpr std::uint64_t MostDenseBytes(std::uint64_t file_bytes) noexcept {
  return kFreeDenseBytes + kMostExpansion * file_bytes;
}

constexpr std::uint64_t Aligned(std::uint64_t bytes) noexcept {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

constexpr std::uint32_t SectionKind(const char (&name)[5]) noexcept {
  std::uint32_t kind = 0;
  for (int i = 3; i >= 0; --i) kind = kind << 8 | static_cast<unsigned char>(name[i]);
  return kind;
}
constexpr std::uint32_t kMetaSection = SectionKind("META");
constexpr std::uint32_t kGraphSection = SectionKind("GRPH");
constexpr std::uint32_t kConstantsSection = SectionKind("CNST");
constexpr std::uint32_t kDataSection = SectionKind("DATA");

struct Header {
  std::array<unsigned char, 8> magic = kMagic;
  std::uint16_t major = kMajorVersion;
  std::uint16_t minor = kMinorVersion;
  std::uint32_t sections = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t dense_bytes = 0;  ///< Of all constants.
  std::array<std::uint64_t, 3> reserved = {};
  std::uint64_t checksum = 0;  ///< Of the bytes before it and of the table.
};
static_assert(sizeof(Header) == kHeaderBytes);

struct SectionEntry {
  std::uint32_t kind = 0;
  std::uint32_t required = 0;  ///< 1: a reader that does not know the kind has to refuse the file.
  std::uint64_t offset = 0;    ///< The end of the section before, a multiple of kAlignment.
  std::uint64_t bytes = 0;     ///< Without the zeros that fill the last kAlignment bytes up.
  std::uint64_t checksum = 0;  ///< 0 for DATA, whose constants have one each.
};
static_assert(sizeof(SectionEntry) == 32);

/// Header and table as they stand in the file, padded, with their checksum.
std::vector<std::byte> HeaderBlock(std::uint64_t file_bytes, std::uint64_t dense_bytes,
                                   std::span<const SectionEntry> sections);

/// Bytes of a header block with so many sections.
constexpr std::uint64_t HeaderBlockBytes(std::uint64_t sections) noexcept {
  return Aligned(kHeaderBytes + sections * sizeof(SectionEntry));
}

/// Whether readers compare checksums; fuzzers do not, to get behind them.
enum class Checks : bool { kNoChecksums, kAll };

/// Checks magic, version and sizes of the first kHeaderBytes bytes.
/// @throws Error  kBadFile; kUnsupported for a later major version.
Header ParseHeader(std::span<const std::byte> bytes, std::uint64_t file_bytes);

/// Checks a whole header block: checksum, order and size of the sections; all four that this
/// version knows are there once.
/// @throws Error  kBadFile; kUnsupported for an unknown section that is required.
std::vector<SectionEntry> ParseTable(const Header& header, std::span<const std::byte> block,
                                     Checks checks);

/// "GRPH", with dots for what is not printable.
std::string SectionName(std::uint32_t kind);

}  // namespace espalier::internal
