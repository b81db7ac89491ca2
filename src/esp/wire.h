#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// Bytes of the sections: fixed little-endian numbers, variable-length integers (LEB128, signed ones
// as zigzag), texts and byte strings with their length in front.
namespace espalier::internal {

class ByteWriter {
 public:
  template <typename T>
  void Fixed(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    Raw(std::as_bytes(std::span(&value, 1)));
  }
  void Unsigned(std::uint64_t value);
  void Signed(std::int64_t value);
  void Text(std::string_view text);
  void Raw(std::span<const std::byte> bytes);
  void PadTo(std::size_t alignment);

  std::size_t size() const noexcept { return bytes_.size(); }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what ByteWriter wrote. Each function throws Error(kBadFile) with the section and the byte
/// in the file if the section ends early or the number is out of its range.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string section, std::uint64_t file_offset)
      : bytes_(bytes), section_(std::move(section)), file_offset_(file_offset) {}

  template <typename T>
  T Fixed() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, Raw(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::uint64_t Unsigned();
  std::int64_t Signed();
  /// An unsigned number up to `most`.
  std::uint64_t UpTo(std::uint64_t most, std::string_view what);
  /// A number of things that take `least_bytes` each: more than the section can hold is refused, so
  /// that a caller may reserve them.
  std::size_t Count(std::size_t least_bytes, std::string_view what);
  std::string Text();
  std::span<const std::byte> Raw(std::size_t count);
  void ExpectEnd() const;

  std::size_t left() const noexcept { return bytes_.size() - at_; }
  [[noreturn]] void Fail(const std::string& problem) const;

 private:
  std::span<const std::byte> bytes_;
  std::string section_;
  std::uint64_t file_offset_ = 0;
  std::size_t at_ = 0;
};

}  // namespace espalier::internal
