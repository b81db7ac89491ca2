#include "espalier/io/npy.h"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/npy_header.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::NpyLayout;
using internal::Quote;

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kPreludeBytes = 8;  // magic, major and minor version
// A supported header has a few hundred bytes; 64 dimensions of 19 digits need 1.4 kB.
constexpr std::uint64_t kMostHeaderBytes = std::uint64_t{1} << 20;
constexpr std::size_t kHeaderAlignment = 64;

// Reads magic, version and length; returns where the header's text begins and ends.
std::pair<std::uint64_t, std::uint64_t> HeaderRange(const InputFile& file) {
  std::array<unsigned char, kPreludeBytes> prelude{};
  if (file.size() >= prelude.size()) file.ReadAt(0, std::as_writable_bytes(std::span(prelude)));
  if (!std::string_view(reinterpret_cast<const char*>(prelude.data()), prelude.size())
           .starts_with(kMagic)) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("the file ({} bytes) does not begin as a .npy file "
                            "does; write it with numpy.save",
                            file.size()));
  }
  const int major = prelude[6];
  const int minor = prelude[7];
  if (major < 1 || major > 3 || minor != 0) {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("npy format version {}.{}; 1.0, 2.0 and 3.0 are supported", major, minor));
  }
  std::array<unsigned char, 4> bytes{};
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  file.ReadAt(kPreludeBytes, std::as_writable_bytes(std::span(bytes).first(length_bytes)));
  const std::uint64_t length =
      bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<std::uint64_t>(bytes[3]) << 24;
  const std::uint64_t begin = kPreludeBytes + length_bytes;
  if (length > kMostHeaderBytes) {
    throw Error(ErrorCode::kBadFile, fmt::format("npy header length {} is over the limit of {}",
                                                 length, kMostHeaderBytes));
  }
  if (length > file.size() - begin) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("npy header length {} is beyond the file's {} bytes; the file is "
                            "truncated",
                            length, file.size()));
  }
  return {begin, begin + length};
}

std::uint64_t ByteCount(DType dtype, const Dims& shape) {
  const auto count = static_cast<std::uint64_t>(ElementCount(shape));
  const std::uint64_t size = DTypeBits(dtype) / 8;
  if (count > std::numeric_limits<std::uint64_t>::max() / size) {
    throw Error(ErrorCode::kBadFile, fmt::format("shape {} of {} overflows 2^64 bytes",
                                                 DimsText(shape), DTypeName(dtype)));
  }
  return count * size;
}

NpyArray ReadArray(const InputFile& file) {
  const auto [begin, end] = HeaderRange(file);
  std::string text(end - begin, '\0');
  file.ReadAt(begin, std::as_writable_bytes(std::span(text)));
  NpyLayout layout = internal::ParseNpyHeader(text);
  const std::uint64_t needed = ByteCount(layout.dtype, layout.shape);
  const std::uint64_t found = file.size() - end;
  if (needed != found) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("shape {} of {} needs {} bytes, but {} follow the header; the file {}",
                            DimsText(layout.shape), DTypeName(layout.dtype), needed, found,
                            found < needed ? "is truncated" : "has bytes that belong to no array"));
  }
  NpyArray array{layout.dtype, std::move(layout.shape), layout.fortran_order, {}};
  array.bytes.resize(needed);
  file.ReadAt(end, array.bytes);
  return array;
}

}  // namespace

NpyArray ReadNpy(const std::filesystem::path& path) {
  const InputFile file(path);
  try {
    return ReadArray(file);
  } catch (Error& error) {
    error.AddContext(fmt::format("reading {}", Quote(path.native())));
    throw;
  }
}

AtomicFile StageNpy(const std::filesystem::path& path, Overwrite overwrite, const NpyArray& array) {
  std::string text = internal::NpyHeaderText({array.dtype, array.fortran_order, array.shape});
  const std::uint64_t needed = ByteCount(array.dtype, array.shape);
  if (array.bytes.size() != needed) {
    throw Error(
        ErrorCode::kShapeMismatch,
        fmt::format("shape {} of {} needs {} bytes, the array has {}", DimsText(array.shape),
                    DTypeName(array.dtype), needed, array.bytes.size()));
  }
  // The data begins at a multiple of 64 bytes, after spaces and a newline.
  constexpr std::size_t kBefore = kPreludeBytes + 2;
  const std::size_t unaligned = kBefore + text.size() + 1;
  text.append((kHeaderAlignment - unaligned % kHeaderAlignment) % kHeaderAlignment, ' ');
  text += '\n';
  std::string head(kMagic);
  head += {'\1', '\0', static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  head += text;

  AtomicFile file(path, overwrite, head.size() + needed);
  file.WriteAt(0, std::as_bytes(std::span(head)));
  file.WriteAt(head.size(), array.bytes);
  return file;
}

void WriteNpy(const std::filesystem::path& path, Overwrite overwrite, const NpyArray& array) {
  StageNpy(path, overwrite, array).Commit();
}

}  // namespace espalier
