#include "esp/wire.h"

#include <fmt/format.h>

#include "espalier/base/error.h"

namespace espalier::internal {

void ByteWriter::Unsigned(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<std::byte>(value));
}

void ByteWriter::Signed(std::int64_t value) {
  Unsigned(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
}

void ByteWriter::Text(std::string_view text) {
  Unsigned(text.size());
  Raw(std::as_bytes(std::span(text)));
}

void ByteWriter::Raw(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void ByteWriter::PadTo(std::size_t alignment) {
  bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
}

std::uint64_t ByteReader::Unsigned() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = Fixed<std::uint8_t>();
    const std::uint64_t part = byte & 0x7Fu;
    if (shift == 63 && part > 1) break;
    value |= part << shift;
    if (byte < 0x80) return value;
  }
  Fail("an integer of more than 64 bits");
}

std::int64_t ByteReader::Signed() {
  const std::uint64_t zigzag = Unsigned();
  return static_cast<std::int64_t>(zigzag >> 1 ^ (~(zigzag & 1) + 1));
}

std::uint64_t ByteReader::UpTo(std::uint64_t most, std::string_view what) {
  const std::uint64_t value = Unsigned();
  if (value > most) Fail(fmt::format("{} is {}, the most is {}", what, value, most));
  return value;
}

std::size_t ByteReader::Count(std::size_t least_bytes, std::string_view what) {
  const std::uint64_t count = Unsigned();
  if (count > left() / least_bytes) {
    Fail(fmt::format("{} {} do not fit into the {} bytes that are left", count, what, left()));
  }
  return static_cast<std::size_t>(count);
}

std::string ByteReader::Text() {
  const std::span<const std::byte> bytes = Raw(Count(1, "characters"));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> ByteReader::Raw(std::size_t count) {
  if (count > left()) Fail(fmt::format("needs {} bytes, {} are left", count, left()));
  const std::span<const std::byte> bytes = bytes_.subspan(at_, count);
  at_ += count;
  return bytes;
}

void ByteReader::ExpectEnd() const {
  if (left() > 0) Fail(fmt::format("{} bytes are left over", left()));
}

void ByteReader::Fail(const std::string& problem) const {
  throw Error(ErrorCode::kBadFile,
              fmt::format("section {}, byte {}: {}", section_, file_offset_ + at_, problem));
}

}  // namespace espalier::internal
