#include "espalier/io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "espalier/base/error.h"
#include "io/copy_distance.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Quote;
using internal::SystemReason;

ssize_t ReadSome(int descriptor, std::span<std::byte> out, std::uint64_t offset) {
  const auto at = static_cast<off_t>(offset);
  if (!internal::IsSlowDistance(offset, reinterpret_cast<std::uintptr_t>(out.data()))) {
    return pread(descriptor, out.data(), out.size(), at);
  }
  internal::BounceBuffer buffer;
  std::byte* const bounce = buffer.For(offset);
  const ssize_t got = pread(descriptor, bounce, std::min(out.size(), internal::kBounceBytes), at);
  if (got > 0) std::memcpy(out.data(), bounce, static_cast<std::size_t>(got));
  return got;
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  if (path.native().find('\0') != std::string::npos) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("path {} contains a NUL character", Quote(path.native())));
  }
  // O_NONBLOCK: opening a FIFO must fail here, not wait for a writer. Regular files ignore it.
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("cannot open {}: {}", Quote(path.native()), SystemReason(errno)));
  }
  struct stat info {};
  const int error = fstat(descriptor_, &info) == 0 ? 0 : errno;
  if (error == 0 && S_ISREG(info.st_mode)) {
    size_ = static_cast<std::uint64_t>(info.st_size);
    return;
  }
  close(descriptor_);
  throw Error(ErrorCode::kBadFile,
              fmt::format("cannot read {}: {}", Quote(path.native()),
                          error != 0              ? SystemReason(error)
                          : S_ISDIR(info.st_mode) ? "it is a folder; give the file's name"
                                                  : "it is not a regular file"));
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(std::exchange(other.size_, 0)) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  if (this == &other) return *this;
  if (descriptor_ >= 0) close(descriptor_);
  path_ = std::move(other.path_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void InputFile::ReadAt(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    throw Error(
        ErrorCode::kBadFile,
        fmt::format("{} ends at byte {}, but {} bytes from byte {} are needed; the file may "
                    "be truncated",
                    Quote(path_.native()), size_, out.size(), offset));
  }
  while (!out.empty()) {
    const ssize_t got = ReadSome(descriptor_, out, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("cannot read {} bytes at byte {} of {}: {}", out.size(), offset,
                              Quote(path_.native()), SystemReason(errno)));
    }
    if (got == 0) {
      throw Error(
          ErrorCode::kBadFile,
          fmt::format("{} became shorter while it was read: it had {} bytes, now it ends at "
                      "byte {} or before",
                      Quote(path_.native()), size_, offset));
    }
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

std::string ReadFile(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw Error(ErrorCode::kBadFile, fmt::format("{} has {} bytes, more than the limit of {}",
                                                 Quote(path.native()), file.size(), max_bytes));
  }
  std::string text(file.size(), '\0');
  file.ReadAt(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace espalier
