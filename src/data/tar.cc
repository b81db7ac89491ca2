#include "data/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kChecksumAt = 148;
// Longest path or pax header that is read; Linux paths end at 4 KiB.
constexpr std::uint64_t kMostExtra = std::uint64_t{1} << 20;

using Block = std::array<std::byte, kBlock>;

std::span<const std::byte> Field(const Block& block, std::size_t at, std::size_t size) {
  return std::span(block).subspan(at, size);
}

// Octal digits between spaces, ended by a space or NUL.
std::optional<std::uint64_t> Octal(std::span<const std::byte> field) {
  std::string text = FieldText(field);
  text.erase(0, text.find_first_not_of(' '));
  text.erase(std::min(text.size(), text.find(' ')));
  if (text.empty()) return 0;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A size: octal, or as GNU and star write large ones, binary with the first bit set.
std::optional<std::uint64_t> Number(std::span<const std::byte> field) {
  const auto first = std::to_integer<unsigned>(field[0]);
  if ((first & 0x80u) == 0) return Octal(field);
  std::uint64_t value = first & 0x7Fu;
  for (const std::byte byte : field.subspan(1)) {
    if (value >> 55 != 0) return std::nullopt;  // above 2^63, or negative
    value = value << 8 | std::to_integer<unsigned>(byte);
  }
  return value;
}

bool HasRightChecksum(const Block& block) {
  const auto stored = Octal(Field(block, kChecksumAt, 8));
  if (!stored) return false;
  std::uint64_t sum = 0;
  std::int64_t signed_sum = 0;  // some old programs summed signed characters
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool blank = i >= kChecksumAt && i < kChecksumAt + 8;
    const auto byte = blank ? 0x20u : std::to_integer<unsigned>(block[i]);
    sum += byte;
    signed_sum += static_cast<signed char>(byte);
  }
  return *stored == sum || static_cast<std::int64_t>(*stored) == signed_sum;
}

// What a pax header or GNU's long names say about the entry that follows.
struct Extra {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<std::uint64_t> size;
};

class IndexReader {
 public:
  explicit IndexReader(const ByteSource& source) : source_(source) {}

  std::vector<TarEntry> Read() {
    while (ReadHeader()) ReadEntry();
    return std::move(entries_);
  }

 private:
  [[noreturn]] void Throw(std::string_view what, ErrorCode code = ErrorCode::kBadFile) const {
    throw Error(code, fmt::format("tar header at byte {}: {}", header_at_, what));
  }

  // False at the mark of the end, a block of zeros.
  bool ReadHeader() {
    header_at_ = at_;
    if (source_.size() - at_ < kBlock) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the tar archive ends at byte {} without its mark of zeros; it is "
                              "truncated",
                              source_.size()));
    }
    source_.ReadAt(at_, block_);
    at_ += kBlock;
    if (std::ranges::all_of(block_, [](std::byte b) { return b == std::byte{0}; })) return false;
    if (!HasRightChecksum(block_)) Throw("wrong checksum");
    return true;
  }

  void ReadEntry() {
    const char type = static_cast<char>(block_[156]);
    // Links, devices, folders and FIFOs have no data, whatever their size field says.
    const bool has_data = type < '1' || type > '6';
    const auto stored = Number(Field(block_, 124, 12));
    if (!stored) Throw("the size is no number");
    const bool is_extra = type == 'L' || type == 'K' || type == 'x' || type == 'X' || type == 'g';
    // A pax header's size is about the entry that it describes, not about another header.
    const std::uint64_t size = !has_data ? 0 : is_extra ? *stored : extra_.size.value_or(*stored);
    if (size > source_.size() - at_) {
      Throw(fmt::format("an entry of {} bytes, but {} follow; the archive is truncated", size,
                        source_.size() - at_));
    }
    if (is_extra) {
      ReadExtra(type, size);
    } else {
      AddEntry(type, size);
      extra_ = {};
    }
    const std::uint64_t padded = (size + kBlock - 1) / kBlock * kBlock;
    at_ = padded > source_.size() - at_ ? source_.size() : at_ + padded;
  }

  void AddEntry(char type, std::uint64_t size) {
    if (type == 'S') Throw("sparse files are not supported", ErrorCode::kUnsupported);
    std::string path = extra_.path.value_or(HeaderPath());
    while (path.starts_with("./")) path.erase(0, 2);
    if (path.empty()) return;
    const bool regular = type == '0' || type == '\0' || type == '7';
    if (type == '1') return AddLink(path);
    if (!regular || path.back() == '/') return;  // v7 marks folders so
    by_path_[path] = entries_.size();
    entries_.push_back({std::move(path), at_, size});
  }

  void AddLink(const std::string& path) {
    std::string target = extra_.link.value_or(FieldText(Field(block_, 157, 100)));
    while (target.starts_with("./")) target.erase(0, 2);
    const auto found = by_path_.find(target);
    if (found == by_path_.end()) {
      Throw(fmt::format("hard link {} to {}, which is not before it in the archive", Quote(path),
                        Quote(target)));
    }
    TarEntry entry = entries_[found->second];
    entry.path = path;
    by_path_[path] = entries_.size();
    entries_.push_back(std::move(entry));
  }

  std::string HeaderPath() const {
    const std::string name = FieldText(Field(block_, 0, 100));
    // GNU's own format has times where ustar has the prefix.
    const bool ustar = FieldText(Field(block_, 257, 6)) == "ustar";
    const std::string prefix = ustar ? FieldText(Field(block_, 345, 155)) : "";
    return prefix.empty() ? name : prefix + "/" + name;
  }

  void ReadExtra(char type, std::uint64_t size) {
    if (size > kMostExtra) {
      Throw(fmt::format("a name or pax header of {} bytes is over the limit of {}", size,
                        kMostExtra));
    }
    if (type == 'g') return;  // defaults for all entries: no path or size of a file
    std::vector<std::byte> bytes(size);
    source_.ReadAt(at_, bytes);
    if (type == 'L') {
      extra_.path = FieldText(bytes);
    } else if (type == 'K') {
      extra_.link = FieldText(bytes);
    } else {
      ReadPax(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
  }

  // Records "LENGTH key=value\n", LENGTH counting the whole record.
  void ReadPax(std::string_view text) {
    while (!text.empty()) {
      std::uint64_t length = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
      const auto digits = static_cast<std::size_t>(end - text.data());
      if (error != std::errc() || length > text.size() || length < digits + 2 ||
          text[digits] != ' ' || text[length - 1] != '\n') {
        Throw("malformed pax record");
      }
      const std::string_view record = text.substr(digits + 1, length - digits - 2);
      const std::size_t equals = record.find('=');
      if (equals == std::string_view::npos) Throw("pax record without '='");
      SetPax(record.substr(0, equals), record.substr(equals + 1));
      text.remove_prefix(length);
    }
  }

  void SetPax(std::string_view key, std::string_view value) {
    if (key == "path" || key == "linkpath") {
      if (value.find('\0') != std::string_view::npos) Throw("a pax path has a NUL character");
      (key == "path" ? extra_.path : extra_.link) = std::string(value);
    } else if (key == "size") {
      std::uint64_t size = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), size);
      if (error != std::errc() || end != value.data() + value.size()) {
        Throw(fmt::format("pax size {} is no number", Quote(value)));
      }
      extra_.size = size;
    } else if (key.starts_with("GNU.sparse.")) {
      Throw("sparse files are not supported", ErrorCode::kUnsupported);
    }
  }

  const ByteSource& source_;
  std::uint64_t at_ = 0;
  std::uint64_t header_at_ = 0;
  Block block_{};
  Extra extra_;
  std::vector<TarEntry> entries_;
  std::map<std::string, std::size_t> by_path_;  // for hard links: the entry with this path
};

}  // namespace

bool IsTar(const ByteSource& source) {
  if (source.size() < kBlock) return false;
  Block block;
  source.ReadAt(0, block);
  return block[0] != std::byte{0} && HasRightChecksum(block);
}

std::vector<TarEntry> ReadTarIndex(const ByteSource& source) { return IndexReader(source).Read(); }

}  // namespace espalier::internal
