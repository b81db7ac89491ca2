#include "data/byte_source.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/io/file.h"
#include "io/temporary_file.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kSpoolMemory = std::size_t{64} << 20;

void CheckRange(std::uint64_t size, std::uint64_t offset, std::uint64_t count) {
  if (offset <= size && count <= size - offset) return;
  throw Error(ErrorCode::kBadFile,
              fmt::format("the data end at byte {}, but {} bytes from byte {} are needed; they may "
                          "be truncated",
                          size, count, offset));
}

class FileBytes : public ByteSource {
 public:
  explicit FileBytes(const std::filesystem::path& path) : file_(path) {}
  std::uint64_t size() const noexcept override { return file_.size(); }
  void ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    file_.ReadAt(offset, out);
  }

 private:
  InputFile file_;
};

class MemoryBytes : public ByteSource {
 public:
  explicit MemoryBytes(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const noexcept override { return bytes_.size(); }
  void ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    CheckRange(bytes_.size(), offset, out.size());
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::vector<std::byte> bytes_;
};

class UnnamedFileBytes : public ByteSource {
 public:
  UnnamedFileBytes(int descriptor, std::uint64_t size) : descriptor_(descriptor), size_(size) {}
  ~UnnamedFileBytes() override { close(descriptor_); }
  UnnamedFileBytes(const UnnamedFileBytes&) = delete;
  UnnamedFileBytes& operator=(const UnnamedFileBytes&) = delete;
  std::uint64_t size() const noexcept override { return size_; }
  void ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    CheckRange(size_, offset, out.size());
    while (!out.empty()) {
      const ssize_t got = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("cannot read unpacked data at byte {}: {}", offset,
                                got < 0 ? SystemReason(errno) : "the file became shorter"));
      }
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
  }

 private:
  int descriptor_;
  std::uint64_t size_;
};

class SliceBytes : public ByteSource {
 public:
  SliceBytes(SharedBytes source, std::uint64_t offset, std::uint64_t size)
      : source_(std::move(source)), offset_(offset), size_(size) {}
  std::uint64_t size() const noexcept override { return size_; }
  void ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    CheckRange(size_, offset, out.size());
    source_->ReadAt(offset_ + offset, out);
  }

 private:
  SharedBytes source_;
  std::uint64_t offset_;
  std::uint64_t size_;
};

int OpenUnnamedFile() {
  std::error_code error;
  std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  if (error) folder = "/tmp";
  const TemporaryFile file = OpenTemporaryFile(folder, "unpacked");
  if (!file.name.empty()) unlink(file.name.c_str());
  return file.descriptor;
}

void WriteFully(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      throw Error(ErrorCode::kWriteFailed,
                  fmt::format("cannot write unpacked data to a file in TMPDIR: {}",
                              SystemReason(put < 0 ? errno : ENOSPC)));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

}  // namespace

SharedBytes OpenBytes(const std::filesystem::path& path) {
  return std::make_shared<FileBytes>(path);
}

SharedBytes MakeBytes(std::vector<std::byte> bytes) {
  return std::make_shared<MemoryBytes>(std::move(bytes));
}

SharedBytes SliceOf(SharedBytes source, std::uint64_t offset, std::uint64_t size) {
  CheckRange(source->size(), offset, size);
  return std::make_shared<SliceBytes>(std::move(source), offset, size);
}

std::vector<std::byte> ReadAll(const ByteSource& source, std::uint64_t most) {
  if (source.size() > most) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} bytes, more than the limit of {}", source.size(), most));
  }
  std::vector<std::byte> bytes(source.size());
  source.ReadAt(0, bytes);
  return bytes;
}

std::vector<std::byte> ReadHead(const ByteSource& source, std::size_t count) {
  std::vector<std::byte> bytes(std::min<std::uint64_t>(count, source.size()));
  source.ReadAt(0, bytes);
  return bytes;
}

Spool::~Spool() {
  if (descriptor_ >= 0) close(descriptor_);
}

void Spool::Write(std::span<const std::byte> bytes) {
  if (bytes.size() > most_ - size_) {
    throw Error(ErrorCode::kBadFile, fmt::format("unpacks to more than {} bytes", most_));
  }
  size_ += bytes.size();
  if (descriptor_ < 0 && size_ <= kSpoolMemory) {
    memory_.insert(memory_.end(), bytes.begin(), bytes.end());
    return;
  }
  if (descriptor_ < 0) {
    descriptor_ = OpenUnnamedFile();
    WriteFully(descriptor_, memory_);
    memory_ = {};
  }
  WriteFully(descriptor_, bytes);
}

SharedBytes Spool::Finish() {
  if (descriptor_ < 0) return MakeBytes(std::move(memory_));
  // The new owner closes it; if its creation throws, this one still does.
  SharedBytes bytes = std::make_shared<UnnamedFileBytes>(descriptor_, size_);
  descriptor_ = -1;
  return bytes;
}

std::string FieldText(std::span<const std::byte> field) {
  std::string text(reinterpret_cast<const char*>(field.data()), field.size());
  return text.substr(0, text.find('\0'));
}

}  // namespace espalier::internal
