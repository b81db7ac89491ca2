#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/little_endian.h"

namespace espalier::internal {

/// Bytes that can be read at any offset, from several threads: a file, a part of one, or memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const noexcept = 0;

  /// Fills `out` from `offset`.
  /// @throws Error  kBadFile if the source ends before or a read fails.
  virtual void ReadAt(std::uint64_t offset, std::span<std::byte> out) const = 0;
};

using SharedBytes = std::shared_ptr<const ByteSource>;

/// @throws Error  kBadFile as InputFile.
SharedBytes OpenBytes(const std::filesystem::path& path);

SharedBytes MakeBytes(std::vector<std::byte> bytes);

/// Bytes [offset, offset + size) of `source`, which lives on.
/// @throws Error  kBadFile if the source is shorter.
SharedBytes SliceOf(SharedBytes source, std::uint64_t offset, std::uint64_t size);

/// All of the source.
/// @throws Error  kBadFile if it has more than `most` bytes.
std::vector<std::byte> ReadAll(const ByteSource& source, std::uint64_t most);

/// The first bytes, up to `count` of them.
std::vector<std::byte> ReadHead(const ByteSource& source, std::size_t count);

/// Takes bytes of unknown number: up to 64 MiB in memory, then in an unnamed file in TMPDIR.
class Spool {
 public:
  explicit Spool(std::uint64_t most) : most_(most) {}
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// @throws Error  kBadFile if more than `most` bytes come; kWriteFailed if TMPDIR is full.
  void Write(std::span<const std::byte> bytes);

  /// The bytes written; to be called once, at the end.
  SharedBytes Finish();

 private:
  std::uint64_t most_;
  std::uint64_t size_ = 0;
  std::vector<std::byte> memory_;
  int descriptor_ = -1;
};

/// Unsigned big-endian number of four bytes.
inline std::uint32_t BigEndian32(const std::byte* bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<unsigned>(bytes[i]);
  return value;
}

/// Characters of a fixed field, up to its first NUL.
std::string FieldText(std::span<const std::byte> field);

}  // namespace espalier::internal
