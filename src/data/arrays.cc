#include "data/arrays.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/npy_header.h"

namespace espalier::internal {
namespace {

// Calls visit(index, element) for the elements, loaded from bytes of any alignment.
template <typename Stored, typename Visit>
void ForEach(std::span<const std::byte> bytes, const Visit& visit) {
  for (std::size_t i = 0; i < bytes.size() / sizeof(Stored); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof value);
    visit(i, value);
  }
}

template <typename Visit>
void ForEachElement(DType dtype, std::span<const std::byte> bytes, const Visit& visit) {
  switch (dtype) {
    case DType::kFloat32:
      return ForEach<float>(bytes, visit);
    case DType::kFloat64:
      return ForEach<double>(bytes, visit);
    case DType::kFloat16:
      return ForEach<std::uint16_t>(
          bytes, [&](std::size_t i, std::uint16_t bits) { visit(i, HalfToFloat(bits)); });
    case DType::kBFloat16:
      return ForEach<std::uint16_t>(
          bytes, [&](std::size_t i, std::uint16_t bits) { visit(i, BFloat16ToFloat(bits)); });
    case DType::kBool:
    case DType::kUint8:
      return ForEach<std::uint8_t>(bytes, visit);
    case DType::kInt8:
      return ForEach<std::int8_t>(bytes, visit);
    case DType::kInt16:
      return ForEach<std::int16_t>(bytes, visit);
    case DType::kUint16:
      return ForEach<std::uint16_t>(bytes, visit);
    case DType::kInt32:
      return ForEach<std::int32_t>(bytes, visit);
    case DType::kUint32:
      return ForEach<std::uint32_t>(bytes, visit);
    case DType::kInt64:
      return ForEach<std::int64_t>(bytes, visit);
    case DType::kUint64:
      return ForEach<std::uint64_t>(bytes, visit);
    default:
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("elements of type {}; integers, bool and floats of 16, 32 and 64 "
                              "bits are read",
                              DTypeName(dtype)));
  }
}

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kPreludeBytes = 8;  // magic, major and minor version
constexpr std::uint64_t kMostHeader = std::uint64_t{1} << 20;

// Where the header's text begins and ends.
std::pair<std::uint64_t, std::uint64_t> HeaderRange(const ByteSource& npy) {
  const std::vector<std::byte> prelude = ReadHead(npy, kPreludeBytes + 4);
  const std::string_view text(reinterpret_cast<const char*>(prelude.data()), prelude.size());
  if (!text.starts_with(kMagic) || prelude.size() < kPreludeBytes + 4) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} bytes that do not begin as a .npy file does", npy.size()));
  }
  const int major = static_cast<unsigned char>(text[6]);
  if (major < 1 || major > 3 || text[7] != 0) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("npy format version {}.{}; 1.0, 2.0 and 3.0 are supported", major,
                            static_cast<unsigned char>(text[7])));
  }
  const int length_bytes = major == 1 ? 2 : 4;
  const std::uint64_t length = LittleEndian(prelude.data() + kPreludeBytes, length_bytes);
  const std::uint64_t begin = kPreludeBytes + static_cast<std::uint64_t>(length_bytes);
  if (length > kMostHeader || length > npy.size() - begin) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("npy header of {} bytes; the limit is {}, and {} follow", length,
                            kMostHeader, npy.size() - begin));
  }
  return {begin, begin + length};
}

}  // namespace

void ToFloat(DType dtype, std::span<const std::byte> bytes, std::span<float> out) {
  const std::size_t size = DTypeBits(dtype) / 8;
  if (size != 0 && bytes.size() / size != out.size()) {
    throw Error(ErrorCode::kShapeMismatch, fmt::format("{} bytes of {} are not {} elements",
                                                       bytes.size(), DTypeName(dtype), out.size()));
  }
  ForEachElement(dtype, bytes,
                 [out](std::size_t i, auto value) { out[i] = static_cast<float>(value); });
}

std::vector<std::int64_t> ToWhole(DType dtype, std::span<const std::byte> bytes) {
  constexpr double kMost = 9007199254740992.0;  // 2^53: above, doubles skip whole numbers
  std::vector<std::int64_t> numbers;
  ForEachElement(dtype, bytes, [&numbers](std::size_t i, auto value) {
    const auto number = static_cast<double>(value);
    // Negated, so that NaN fails.
    if (!(std::abs(number) <= kMost) || number != std::floor(number)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("element {} is {}, no whole number up to 2^53", i, number));
    }
    numbers.push_back(static_cast<std::int64_t>(value));
  });
  return numbers;
}

ArraySource OpenArray(const SharedBytes& npy) {
  const auto [begin, end] = HeaderRange(*npy);
  std::string text(end - begin, '\0');
  npy->ReadAt(begin, std::as_writable_bytes(std::span(text)));
  NpyLayout layout = ParseNpyHeader(text);
  if (layout.fortran_order && layout.shape.size() > 1) {
    throw Error(ErrorCode::kUnsupported,
                "the array is in Fortran order; save numpy.ascontiguousarray(array)");
  }
  const auto count = static_cast<std::uint64_t>(ElementCount(layout.shape));
  const std::uint64_t size = DTypeBits(layout.dtype) / 8;
  const std::uint64_t found = npy->size() - end;
  // Divided: the product may overflow.
  if (size == 0 || found / size != count || found % size != 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("shape {} of {} does not take the {} bytes that follow the header; "
                            "the file is truncated or has bytes that belong to no array",
                            DimsText(layout.shape), DTypeName(layout.dtype), found));
  }
  return {layout.dtype, std::move(layout.shape), SliceOf(npy, end, found)};
}

}  // namespace espalier::internal
