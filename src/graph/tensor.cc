#include "espalier/graph/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "espalier/base/error.h"

namespace espalier {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors hold little-endian bytes");

void CheckSize(DType dtype, const Dims& dims, std::size_t size) {
  const std::uint64_t needed = TensorByteCount(dtype, dims);
  if (needed == size) return;
  throw Error(
      ErrorCode::kShapeMismatch,
      fmt::format("{} {} needs {} bytes, got {}", DTypeName(dtype), DimsText(dims), needed, size));
}

template <typename T>
T Load(std::span<const std::byte> bytes, std::size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

// Element `i` of a 4-bit type: the low half of a byte comes first.
// Source: ONNX, docs/docsgen/source/technical/int4.md.
unsigned Nibble(std::span<const std::byte> bytes, std::size_t i) {
  const auto pair = std::to_integer<unsigned>(bytes[i / 2]);
  return i % 2 == 0 ? pair & 0xFu : pair >> 4;
}

int SignedNibble(unsigned nibble) {
  return nibble < 8 ? static_cast<int>(nibble) : static_cast<int>(nibble) - 16;
}

// Element `i` of an integer type or bool, as a T that is wide enough for it.
template <typename T>
T LoadInteger(DType dtype, std::span<const std::byte> bytes, std::size_t i) {
  switch (dtype) {
    case DType::kInt8:
      return static_cast<T>(Load<std::int8_t>(bytes, i));
    case DType::kUint8:
    case DType::kBool:
      return static_cast<T>(Load<std::uint8_t>(bytes, i));
    case DType::kInt16:
      return static_cast<T>(Load<std::int16_t>(bytes, i));
    case DType::kUint16:
      return static_cast<T>(Load<std::uint16_t>(bytes, i));
    case DType::kInt32:
      return static_cast<T>(Load<std::int32_t>(bytes, i));
    case DType::kUint32:
      return static_cast<T>(Load<std::uint32_t>(bytes, i));
    case DType::kInt64:
      return static_cast<T>(Load<std::int64_t>(bytes, i));
    case DType::kUint64:
      return static_cast<T>(Load<std::uint64_t>(bytes, i));
    case DType::kInt4:
      return static_cast<T>(SignedNibble(Nibble(bytes, i)));
    default:
      return static_cast<T>(Nibble(bytes, i));  // kUint4
  }
}

bool IsInteger(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kUint8:
    case DType::kBool:
    case DType::kInt16:
    case DType::kUint16:
    case DType::kInt32:
    case DType::kUint32:
    case DType::kInt64:
    case DType::kUint64:
    case DType::kInt4:
    case DType::kUint4:
      return true;
    default:
      return false;
  }
}

struct SmallFloat {
  int fraction_bits;
  int bias;
  unsigned nan;  // The pattern, without its sign if `nan_has_sign`, that is not a number.
  bool nan_has_sign;
};

// The 8-bit floats that are no cut-off half. Source: ONNX, docs/docsgen/source/technical/float8.md.
constexpr SmallFloat kE4M3Fn = {3, 7, 0x7F, true};
constexpr SmallFloat kE4M3Fnuz = {3, 8, 0x80, false};
constexpr SmallFloat kE5M2Fnuz = {2, 16, 0x80, false};

double SmallFloatValue(unsigned bits, const SmallFloat& type) {
  const unsigned magnitude = bits & 0x7Fu;
  if ((type.nan_has_sign ? magnitude : bits) == type.nan) return std::nan("");
  const int exponent = static_cast<int>(magnitude >> type.fraction_bits);
  const unsigned fraction = magnitude & ((1u << type.fraction_bits) - 1);
  const unsigned leading = exponent == 0 ? 0 : 1u << type.fraction_bits;
  const double value =
      std::ldexp(leading + fraction, std::max(exponent, 1) - type.bias - type.fraction_bits);
  return (bits & 0x80u) != 0 ? -value : value;
}

// Source: OCP Microscaling Formats 1.0, section 5.3.3 (E2M1).
double Float4Value(unsigned nibble) {
  constexpr std::array<double, 8> kValues = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return nibble < 8 ? kValues[nibble] : -kValues[nibble - 8];
}

double LoadFloat(DType dtype, std::span<const std::byte> bytes, std::size_t i) {
  switch (dtype) {
    case DType::kFloat32:
      return Load<float>(bytes, i);
    case DType::kFloat64:
      return Load<double>(bytes, i);
    case DType::kFloat16:
      return HalfToFloat(Load<std::uint16_t>(bytes, i));
    case DType::kBFloat16:
      return BFloat16ToFloat(Load<std::uint16_t>(bytes, i));
    case DType::kFloat8E4M3Fn:
      return SmallFloatValue(Load<std::uint8_t>(bytes, i), kE4M3Fn);
    case DType::kFloat8E4M3Fnuz:
      return SmallFloatValue(Load<std::uint8_t>(bytes, i), kE4M3Fnuz);
    case DType::kFloat8E5M2:  // the upper byte of a half
      return HalfToFloat(static_cast<std::uint16_t>(Load<std::uint8_t>(bytes, i) << 8));
    case DType::kFloat8E5M2Fnuz:
      return SmallFloatValue(Load<std::uint8_t>(bytes, i), kE5M2Fnuz);
    case DType::kFloat8E8M0: {
      const int exponent = Load<std::uint8_t>(bytes, i);
      return exponent == 0xFF ? std::nan("") : std::ldexp(1.0, exponent - 127);
    }
    default:
      return Float4Value(Nibble(bytes, i));  // kFloat4
  }
}

bool IsRealFloat(DType dtype) {
  return IsFloatDType(dtype) || dtype == DType::kFloat4 ||
         (dtype >= DType::kFloat8E4M3Fn && dtype <= DType::kFloat8E8M0);
}

void CheckHasBytes(const Tensor& tensor) {
  if (tensor.elements() == 0 || !tensor.bytes().empty()) return;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the values of this {} {} tensor are not held", DTypeName(tensor.dtype()),
                          DimsText(tensor.dims())));
}

}  // namespace

std::uint64_t TensorByteCount(DType dtype, const Dims& dims) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  const auto elements = static_cast<std::uint64_t>(ElementCount(dims));
  const auto bits = static_cast<std::uint64_t>(DTypeBits(dtype));
  if (bits < 8) return bits == 4 ? (elements + 1) / 2 : 0;
  if (elements > kMost / (bits / 8)) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} {} takes more than 2^62 bytes", DTypeName(dtype), DimsText(dims)));
  }
  return elements * (bits / 8);
}

Tensor::Tensor(DType dtype, Dims dims, std::vector<std::byte> bytes)
    : dtype_(dtype), dims_(std::move(dims)), elements_(ElementCount(dims_)) {
  CheckSize(dtype_, dims_, bytes.size());
  own_ = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  bytes_ = *own_;
}

Tensor::Tensor(DType dtype, Dims dims, std::span<const std::byte> bytes,
               std::shared_ptr<const void> owner)
    : dtype_(dtype),
      dims_(std::move(dims)),
      elements_(ElementCount(dims_)),
      bytes_(bytes),
      owner_(std::move(owner)) {
  CheckSize(dtype_, dims_, bytes.size());
}

Tensor Tensor::WithoutBytes(DType dtype, Dims dims) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.dims_ = std::move(dims);
  tensor.elements_ = ElementCount(tensor.dims_);
  return tensor;
}

std::span<std::byte> Tensor::MutableBytes() {
  if (own_ == nullptr || own_.use_count() > 1) {
    own_ = std::make_shared<std::vector<std::byte>>(bytes_.begin(), bytes_.end());
    bytes_ = *own_;
    owner_.reset();
  }
  return *own_;
}

std::vector<std::int64_t> Tensor::AsInts() const {
  if (!IsInteger(dtype_)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("expected integers, got a {} tensor", DTypeName(dtype_)));
  }
  CheckHasBytes(*this);
  std::vector<std::int64_t> values(static_cast<std::size_t>(elements_));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = LoadInteger<std::int64_t>(dtype_, bytes_, i);
    if (dtype_ == DType::kUint64 && values[i] < 0) {
      throw Error(ErrorCode::kUnsupported, fmt::format("uint64 value {} does not fit int64",
                                                       Load<std::uint64_t>(bytes_, i)));
    }
  }
  return values;
}

std::vector<double> Tensor::AsDoubles() const {
  const bool integer = IsInteger(dtype_);
  if (!integer && !IsRealFloat(dtype_)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("expected numbers, got a {} tensor", DTypeName(dtype_)));
  }
  CheckHasBytes(*this);
  std::vector<double> values(static_cast<std::size_t>(elements_));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = integer ? LoadInteger<double>(dtype_, bytes_, i) : LoadFloat(dtype_, bytes_, i);
  }
  return values;
}

}  // namespace espalier
