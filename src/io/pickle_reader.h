#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/io/file.h"
#include "io/little_endian.h"

namespace espalier::internal {

/// A pickle's bytes, read from the file in pieces of 64 KiB. What goes beyond its end throws Error
/// kBadFile.
class PickleReader {
 public:
  PickleReader(const InputFile& file, std::uint64_t begin, std::uint64_t end)
      : file_(file), next_(begin), end_(std::min(end, begin + kMostPickleBytes)) {}

  /// Offset in the file of the next byte.
  std::uint64_t position() const { return next_ - (buffer_.size() - used_); }

  unsigned Byte() {
    if (used_ == buffer_.size()) Refill();
    return std::to_integer<unsigned>(buffer_[used_++]);
  }

  /// Little-endian, of up to 8 bytes.
  std::uint64_t Whole(int bytes) {
    std::array<std::byte, 8> value{};
    for (int i = 0; i < bytes; ++i) value[static_cast<std::size_t>(i)] = std::byte(Byte());
    return LittleEndian(value.data(), bytes);
  }

  std::string Text(std::uint64_t size) {
    if (size > end_ - position()) {
      throw Error(ErrorCode::kBadFile, fmt::format("a text of {} bytes at byte {}, but {} are left",
                                                   size, position(), end_ - position()));
    }
    std::string text(size, '\0');
    for (std::size_t at = 0; at < text.size();) {
      if (used_ == buffer_.size()) Refill();
      const std::size_t part = std::min(text.size() - at, buffer_.size() - used_);
      std::copy_n(reinterpret_cast<const char*>(buffer_.data()) + used_, part, text.data() + at);
      at += part;
      used_ += part;
    }
    return text;
  }

  /// Up to the next line feed, which is passed.
  std::string Line() {
    std::string line;
    for (unsigned c = Byte(); c != '\n'; c = Byte()) {
      if (line.size() == kMostGlobalBytes) {
        throw Error(ErrorCode::kBadFile, fmt::format("a name of over {} bytes before byte {}",
                                                     kMostGlobalBytes, position()));
      }
      line += static_cast<char>(c);
    }
    return line;
  }

 private:
  static constexpr std::uint64_t kMostPickleBytes = std::uint64_t{64} << 20;
  static constexpr std::size_t kMostGlobalBytes = 1024;

  void Refill() {
    if (next_ == end_) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the pickle goes on beyond byte {}; the file is truncated, or its "
                              "pickle over {} MiB",
                              end_, kMostPickleBytes >> 20));
    }
    buffer_.resize(std::min<std::uint64_t>(end_ - next_, std::uint64_t{1} << 16));
    file_.ReadAt(next_, buffer_);
    next_ += buffer_.size();
    used_ = 0;
  }

  const InputFile& file_;
  std::uint64_t next_;  // offset of the next piece
  std::uint64_t end_;
  std::vector<std::byte> buffer_;
  std::size_t used_ = 0;
};

}  // namespace espalier::internal
