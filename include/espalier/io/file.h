#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace espalier {

/// A file open for reading at any offset. Reads go through pread, never through a mapping: a file
/// that shrinks while it is read gives an Error, not SIGBUS. Safe to read from several threads.
class InputFile {
 public:
  /// @throws Error  kBadFile, naming `path` and the system's reason, if it cannot be opened or is
  ///                not a regular file.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  const std::filesystem::path& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }  ///< Bytes, when it was opened.

  /// Fills `out` from `offset`.
  /// @throws Error  kBadFile if the file ends before or a read fails.
  void ReadAt(std::uint64_t offset, std::span<std::byte> out) const;

  /// File descriptor, for copies inside the kernel. Owned by this object.
  int descriptor() const noexcept { return descriptor_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// The whole file as a string.
/// @throws Error  kBadFile as InputFile; also if it is larger than `max_bytes`.
std::string ReadFile(const std::filesystem::path& path, std::uint64_t max_bytes);

}  // namespace espalier
