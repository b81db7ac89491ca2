#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "espalier/io/file.h"

namespace espalier {

/// Whether an output may take the place of an existing file.
enum class Overwrite : bool { kNo, kYes };

/// An output file that appears under its name whole or not at all. Bytes go to an unnamed file in
/// the same folder (O_TMPFILE), so that a process killed half-way leaves nothing; where the file
/// system has none, to a hidden temporary file that the destructor removes. Commit() gives it its
/// name.
///
/// An output that is a symbolic link stays one: the file that it points to is replaced, as `cp`
/// does. This guards against a killed process, not against a power cut: no fsync.
class AtomicFile {
 public:
  /// Creates missing parent folders only on Commit(), so a failed run leaves no folder either:
  /// until then the unnamed file lives in the nearest existing parent.
  ///
  /// @param expected_bytes  Reserved on disk at once, so that a full disk is noticed before the
  ///                        work; 0 if unknown.
  /// @throws Error  kWriteFailed (path and reason) if the folder is read-only or the disk is full;
  ///                kInvalidArgument if `path` exists and `overwrite` is kNo, or names a folder or
  ///                anything else that is not a regular file.
  AtomicFile(const std::filesystem::path& path, Overwrite overwrite,
             std::uint64_t expected_bytes = 0);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Writes at `offset`; safe from several threads at different offsets.
  /// @throws Error  kWriteFailed (path and reason), as for a full disk or a file size limit. Such a
  ///                limit also raises SIGXFSZ, which is the caller's to ignore.
  void WriteAt(std::uint64_t offset, std::span<const std::byte> bytes);

  /// Copies `count` bytes from `input` inside the kernel where it can (copy_file_range).
  /// @throws Error  kWriteFailed, or kBadFile if the input ends early.
  void CopyFrom(const InputFile& input, std::uint64_t input_offset, std::uint64_t offset,
                std::uint64_t count);

  /// Gives the file its name, with the mode that the umask allows; an existing file is replaced by
  /// one rename and hands on its mode. Call once; without it the destructor discards everything.
  /// @throws Error  kWriteFailed; kInvalidArgument if the name has appeared since and overwrite is
  ///                kNo.
  void Commit();

 private:
  void Reserve(std::uint64_t bytes);
  void FinishContents();
  void GiveName();
  void Discard() noexcept;

  std::filesystem::path path_;
  std::filesystem::path target_;          // absolute, symbolic links of its last part followed
  std::filesystem::path temporary_path_;  // empty while the file has no name at all
  std::filesystem::path folder_;          // existing folder that holds the unnamed file
  Overwrite overwrite_ = Overwrite::kNo;
  int descriptor_ = -1;
};

/// Writes `bytes` to `path` whole or not at all.
/// @throws Error  as AtomicFile.
void WriteFileAtomically(const std::filesystem::path& path, Overwrite overwrite,
                         std::span<const std::byte> bytes);

}  // namespace espalier
