#include "esp/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "esp/checksum.h"
#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian");

[[noreturn]] void BadHeader(std::uint64_t offset, const std::string& problem) {
  throw Error(ErrorCode::kBadFile, fmt::format("header, byte {}: {}", offset, problem));
}

// Of a header block without the checksum itself.
std::uint64_t BlockChecksum(std::span<const std::byte> block) {
  const std::uint64_t table = Checksum(block.subspan(kHeaderBytes));
  return Checksum(block.first(offsetof(Header, checksum))) ^ std::rotl(table, 1);
}

void CheckPlaces(const Header& header, std::span<const SectionEntry> sections) {
  std::uint64_t end = HeaderBlockBytes(sections.size());
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const SectionEntry& section = sections[i];
    const std::uint64_t at = kHeaderBytes + i * sizeof(SectionEntry);
    if (section.offset != end) {
      BadHeader(at, fmt::format("section {} begins at byte {}, the one before ends at {}",
                                SectionName(section.kind), section.offset, end));
    }
    if (section.bytes > header.file_bytes - end ||
        Aligned(section.bytes) > header.file_bytes - end) {
      BadHeader(at, fmt::format("section {} has {} bytes, {} are left", SectionName(section.kind),
                                section.bytes, header.file_bytes - end));
    }
    end += Aligned(section.bytes);
  }
  if (end != header.file_bytes) {
    BadHeader(16, fmt::format("sections end at byte {} of {}", end, header.file_bytes));
  }
}

void CheckKinds(std::span<const SectionEntry> sections) {
  constexpr std::uint32_t kKnown[] = {kMetaSection, kGraphSection, kConstantsSection, kDataSection};
  for (const std::uint32_t kind : kKnown) {
    const auto found = std::ranges::count(sections, kind, &SectionEntry::kind);
    if (found == 1) continue;
    BadHeader(kHeaderBytes, fmt::format("{} sections {} instead of 1", found, SectionName(kind)));
  }
  for (const SectionEntry& section : sections) {
    if (section.required == 0 || std::ranges::count(kKnown, section.kind) > 0) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the file needs a version of Espalier that knows section {}",
                            SectionName(section.kind)));
  }
}

}  // namespace

std::vector<std::byte> HeaderBlock(std::uint64_t file_bytes, std::uint64_t dense_bytes,
                                   std::span<const SectionEntry> sections) {
  Header header;
  header.sections = static_cast<std::uint32_t>(sections.size());
  header.file_bytes = file_bytes;
  header.dense_bytes = dense_bytes;
  std::vector<std::byte> block(HeaderBlockBytes(sections.size()));
  std::memcpy(block.data(), &header, sizeof header);
  std::memcpy(block.data() + kHeaderBytes, sections.data(), sections.size_bytes());
  header.checksum = BlockChecksum(block);
  std::memcpy(block.data(), &header, sizeof header);
  return block;
}

Header ParseHeader(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  Header header;
  if (bytes.size() < kMagic.size() ||
      std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    BadHeader(0, "not a compressed model of Espalier");
  }
  if (bytes.size() < kHeaderBytes) {
    BadHeader(0, fmt::format("the file ends after {} bytes", bytes.size()));
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.major != kMajorVersion) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the file is of format version {}.{}, this build reads version {}",
                            header.major, header.minor, kMajorVersion));
  }
  if (header.file_bytes != file_bytes) {
    BadHeader(16, fmt::format("the file has {} bytes, its header says {}", file_bytes,
                              header.file_bytes));
  }
  if (header.sections > kMostSections || HeaderBlockBytes(header.sections) > file_bytes) {
    BadHeader(12, fmt::format("{} sections in {} bytes", header.sections, file_bytes));
  }
  return header;
}

std::vector<SectionEntry> ParseTable(const Header& header, std::span<const std::byte> block,
                                     Checks checks) {
  if (checks == Checks::kAll && BlockChecksum(block) != header.checksum) {
    BadHeader(0, "the checksum is wrong: the file is damaged");
  }
  if (header.dense_bytes > MostDenseBytes(header.file_bytes)) {
    BadHeader(
        24, fmt::format("{} bytes of constants in a file of {}, the most is {}", header.dense_bytes,
                        header.file_bytes, MostDenseBytes(header.file_bytes)));
  }
  std::vector<SectionEntry> sections(header.sections);
  for (std::size_t i = 0; i < sections.size(); ++i) {
    std::memcpy(&sections[i], block.data() + kHeaderBytes + i * sizeof(SectionEntry),
                sizeof(SectionEntry));
  }
  CheckPlaces(header, sections);
  CheckKinds(sections);
  return sections;
}

std::string SectionName(std::uint32_t kind) {
  std::string name;
  for (int i = 0; i < 4; ++i) {
    const auto c = static_cast<char>(kind >> 8 * i & 0xFF);
    name += c > ' ' && c < 0x7F ? c : '.';
  }
  return name;
}

}  // namespace espalier::internal
