#include "espalier/io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "espalier/base/error.h"
#include "io/copy_distance.h"
#include "io/temporary_file.h"
#include "io/text.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using internal::Quote;
using internal::SystemReason;

constexpr int kMostLinks = 40;               // symbolic links in a row, as in the Linux kernel
constexpr std::size_t kMostNameBytes = 255;  // of one path component on Linux file systems
constexpr std::uint64_t kMostFileBytes = std::numeric_limits<off_t>::max();
constexpr std::uint64_t kCopyBufferBytes = std::uint64_t{1} << 20;

Error CannotWrite(const fs::path& path, int error, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  return Error(ErrorCode::kWriteFailed,
               fmt::format("cannot write {}: {}", Quote(path.native()), SystemReason(error)), file,
               line);
}

Error AlreadyExists(const fs::path& path, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) {
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("{} exists; use --force to overwrite it", Quote(path.native())), file,
               line);
}

void CheckName(const fs::path& path) {
  if (path.native().find('\0') != std::string::npos) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("output path {} contains a NUL character", Quote(path.native())));
  }
  if (!path.has_filename()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("output {} names a folder; give a file name", Quote(path.native())));
  }
  if (path.filename().native().size() > kMostNameBytes) {
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("output name {} has {} bytes, the most is {}", Quote(path.filename().native()),
                    path.filename().native().size(), kMostNameBytes));
  }
}

// The file that a write to `path` would reach. A link that points to nothing gives the missing
// file.
fs::path FollowLinks(const fs::path& path) {
  std::error_code error;
  fs::path target = fs::absolute(path, error);
  for (int hop = 0; !error && hop < kMostLinks; ++hop) {
    std::error_code missing;
    if (!fs::is_symlink(fs::symlink_status(target, missing))) return target;
    // An absolute link replaces the left side of operator/.
    target = target.parent_path() / fs::read_symlink(target, error);
  }
  throw CannotWrite(path, error ? error.value() : ELOOP);
}

void CheckReplaceable(const fs::path& path, Overwrite overwrite) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (lstat(path.c_str(), &info) == 0 && overwrite == Overwrite::kNo) throw AlreadyExists(path);
    if (errno == ENOENT || errno == ENOTDIR) return;  // ENOTDIR: FolderFor() names the culprit
    throw CannotWrite(path, errno);
  }
  if (S_ISDIR(info.st_mode)) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("output {} is a folder; give a file name", Quote(path.native())));
  }
  if (overwrite == Overwrite::kNo) throw AlreadyExists(path);
  if (!S_ISREG(info.st_mode)) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("output {} is not a regular file and cannot be replaced",
                            Quote(path.native())));
  }
}

// The nearest parent of `target` that exists.
fs::path FolderFor(const fs::path& target) {
  fs::path folder = target.parent_path();
  struct stat info {};
  while (stat(folder.c_str(), &info) != 0) {
    if ((errno != ENOENT && errno != ENOTDIR) || folder == folder.parent_path()) {
      throw CannotWrite(target, errno);
    }
    folder = folder.parent_path();
  }
  if (!S_ISDIR(info.st_mode)) {
    throw Error(ErrorCode::kWriteFailed,
                fmt::format("cannot write {}: {} is not a folder", Quote(target.native()),
                            Quote(folder.native())));
  }
  return folder;
}

ssize_t WriteSome(int descriptor, std::span<const std::byte> bytes, std::uint64_t offset) {
  const auto at = static_cast<off_t>(offset);
  if (!internal::IsSlowDistance(reinterpret_cast<std::uintptr_t>(bytes.data()), offset)) {
    return pwrite(descriptor, bytes.data(), bytes.size(), at);
  }
  const std::size_t size = std::min(bytes.size(), internal::kBounceBytes);
  internal::BounceBuffer buffer;
  std::byte* const bounce = buffer.For(offset);
  std::memcpy(bounce, bytes.data(), size);
  return pwrite(descriptor, bounce, size, at);
}

// Copies inside the kernel; what is left (all of it, where the kernel cannot) is returned.
std::uint64_t CopyInKernel(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset,
                           std::uint64_t count) {
  constexpr std::uint64_t kMostAtOnce = std::uint64_t{1} << 30;
  auto in = static_cast<off64_t>(from_offset);
  auto out = static_cast<off64_t>(to_offset);
  while (count > 0) {
    const ssize_t copied =
        copy_file_range(from, &in, to, &out, std::min(count, kMostAtOnce), /*flags=*/0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;
    count -= static_cast<std::uint64_t>(copied);
  }
  return count;
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path, Overwrite overwrite, std::uint64_t expected_bytes)
    : path_(path), overwrite_(overwrite) {
  CheckName(path);
  CheckReplaceable(path, overwrite);
  target_ = FollowLinks(path);
  folder_ = FolderFor(target_);
  internal::TemporaryFile file = internal::OpenTemporaryFile(folder_, target_.filename());
  descriptor_ = file.descriptor;
  temporary_path_ = std::move(file.name);
  try {
    if (expected_bytes > 0) Reserve(expected_bytes);
  } catch (...) {
    Discard();
    throw;
  }
}

AtomicFile::~AtomicFile() { Discard(); }

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      folder_(std::move(other.folder_)),
      overwrite_(other.overwrite_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  temporary_path_ = std::exchange(other.temporary_path_, {});
  folder_ = std::move(other.folder_);
  overwrite_ = other.overwrite_;
  descriptor_ = std::exchange(other.descriptor_, -1);
  return *this;
}

void AtomicFile::Discard() noexcept {
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
  temporary_path_.clear();
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
}

// fallocate(2), not posix_fallocate(3), which would write every block where the file system cannot
// reserve. The size stays, so that a file that ends up shorter has no zeros at its end.
void AtomicFile::Reserve(std::uint64_t bytes) {
  int error = EFBIG;
  if (bytes <= kMostFileBytes) {
    do {
      const int result = fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
      error = result == 0 ? 0 : errno;
    } while (error == EINTR);
  }
  if (error == 0 || error == EOPNOTSUPP || error == ENOSYS) return;
  struct statvfs disk {};
  if (error == ENOSPC && fstatvfs(descriptor_, &disk) == 0) {
    const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    throw Error(ErrorCode::kWriteFailed,
                fmt::format("cannot write {}: disk is full: needs {} bytes, {} free",
                            Quote(path_.native()), bytes, free));
  }
  throw CannotWrite(path_, error);
}

void AtomicFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  ESPALIER_CHECK(descriptor_ >= 0);
  if (offset > kMostFileBytes || bytes.size() > kMostFileBytes - offset) {
    throw CannotWrite(path_, EFBIG);
  }
  while (!bytes.empty()) {
    const ssize_t done = WriteSome(descriptor_, bytes, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw CannotWrite(path_, done < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void AtomicFile::CopyFrom(const InputFile& input, std::uint64_t input_offset, std::uint64_t offset,
                          std::uint64_t count) {
  ESPALIER_CHECK(descriptor_ >= 0);
  std::uint64_t left = count;
  if (input_offset <= kMostFileBytes && offset <= kMostFileBytes) {
    left = CopyInKernel(input.descriptor(), input_offset, descriptor_, offset, count);
  }
  // Whatever stopped the kernel, a plain copy either manages or says which of the files is at
  // fault.
  std::vector<std::byte> buffer(std::min(left, kCopyBufferBytes));
  while (left > 0) {
    const std::span<std::byte> part = std::span(buffer).first(std::min(left, kCopyBufferBytes));
    const std::uint64_t done = count - left;
    input.ReadAt(input_offset + done, part);
    WriteAt(offset + done, part);
    left -= part.size();
  }
}

void AtomicFile::Commit() {
  ESPALIER_CHECK(descriptor_ >= 0);
  FinishContents();
  internal::CreatedFolders folders(target_.parent_path());
  GiveName();
  folders.Keep();
  close(std::exchange(descriptor_, -1));  // FinishContents() has seen what this could report
}

void AtomicFile::FinishContents() {
  struct stat info {};
  if (fstat(descriptor_, &info) != 0) throw CannotWrite(path_, errno);
  // Gives reserved but unused blocks back.
  if (ftruncate(descriptor_, info.st_size) != 0) throw CannotWrite(path_, errno);
  struct stat replaced {};
  if (stat(target_.c_str(), &replaced) == 0 && fchmod(descriptor_, replaced.st_mode & 0777) != 0) {
    throw CannotWrite(path_, errno);
  }
  // Network file systems report a full disk on close, and the file must not have its name then.
  const int copy = fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0 || (close(copy) != 0 && errno != EINTR)) throw CannotWrite(path_, errno);
}

void AtomicFile::GiveName() {
  const bool replace = overwrite_ == Overwrite::kYes;
  int error = 0;
  if (temporary_path_.empty()) {
    error = internal::LinkUnnamed(descriptor_, target_);
    if (error == 0) return;
    // An unnamed file cannot replace one: it needs a hidden name for the moment before the rename.
    while (error == EEXIST && replace && temporary_path_.empty()) {
      const fs::path name = internal::HiddenName(target_.parent_path(), target_.filename());
      error = internal::LinkUnnamed(descriptor_, name);
      if (error == 0) temporary_path_ = name;
    }
  }
  if (error == 0) {
    error = !replace ? internal::RenameWithoutReplacing(temporary_path_, target_)
            : rename(temporary_path_.c_str(), target_.c_str()) == 0 ? 0
                                                                    : errno;
  }
  if (error == EEXIST && !replace) throw AlreadyExists(path_);
  if (error != 0) throw CannotWrite(path_, error);
  temporary_path_.clear();
}

void WriteFileAtomically(const fs::path& path, Overwrite overwrite,
                         std::span<const std::byte> bytes) {
  AtomicFile file(path, overwrite, bytes.size());
  file.WriteAt(0, bytes);
  file.Commit();
}

}  // namespace espalier
