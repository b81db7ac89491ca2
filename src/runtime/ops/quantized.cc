#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/quantized_parts.h"

namespace espalier::runtime {
namespace {

constexpr OpEntry kOps[] = {
    {"", "QuantizeLinear", &MakeQuantizeLinear},
    {"", "DequantizeLinear", &MakeDequantizeLinear},
    {"", "DynamicQuantizeLinear", &MakeDynamicQuantizeLinear},
    {"", "MatMulInteger", &MakeMatMulInteger},
    {"", "QLinearMatMul", &MakeQLinearMatMul},
    {"", "ConvInteger", &MakeConvInteger},
    {"", "QLinearConv", &MakeQLinearConv},
};

template <typename T>
void Centre(const Value& value, const Value* zero, std::int64_t parts, std::int64_t inner,
            std::vector<std::int32_t>* out) {
  const T* from = value.As<T>();
  const T* zeros = zero == nullptr ? nullptr : zero->As<T>();
  const auto size = static_cast<std::size_t>(inner);
  const std::size_t count = out->size();
  for (std::size_t begin = 0; begin < count; begin += size) {
    const std::size_t part = parts == 1 ? 0 : begin / size % static_cast<std::size_t>(parts);
    const std::int32_t centre = zeros == nullptr ? 0 : zeros[part];
    for (std::size_t i = begin; i < begin + size; ++i) (*out)[i] = from[i] - centre;
  }
}

}  // namespace

void ReadCentred(const Value& value, const Value* zero, std::int64_t parts, std::int64_t inner,
                 std::vector<std::int32_t>* out) {
  const bool byte = value.dtype == DType::kInt8 || value.dtype == DType::kUint8;
  if (!byte || (zero != nullptr && zero->dtype != value.dtype)) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} with a zero point of {}", DTypeName(value.dtype),
                            zero == nullptr ? "none" : DTypeName(zero->dtype)));
  }
  if (zero != nullptr && zero->Elements() == 1) parts = 1;
  if (zero != nullptr && zero->Elements() != static_cast<std::size_t>(parts)) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} zero points, expected {}", zero->Elements(), parts));
  }
  out->resize(value.Elements());
  if (out->empty()) return;
  if (parts == 1) inner = static_cast<std::int64_t>(out->size());
  if (value.dtype == DType::kInt8) {
    Centre<std::int8_t>(value, zero, parts, inner, out);
  } else {
    Centre<std::uint8_t>(value, zero, parts, inner, out);
  }
}

void ReadScales(const Value& value, std::int64_t parts, std::vector<double>* out) {
  const std::size_t count = value.Elements();
  if (count != 1 && count != static_cast<std::size_t>(parts)) {
    throw Error(ErrorCode::kBadFile, fmt::format("{} scales, expected {}", count, parts));
  }
  out->resize(count);
  using Types = Join<NumberTypes, NarrowTypes>;
  Dispatch(Types(), value.dtype, [&]<typename T>() {
    for (std::size_t i = 0; i < count; ++i) {
      (*out)[i] = static_cast<double>(static_cast<float>(value.As<T>()[i]));
    }
  });
}

void StoreQuantized(DType dtype, double value, double zero, std::byte* to) {
  const double low = dtype == DType::kInt8 ? -128 : 0;
  const double rounded = std::nearbyint(value) + zero;
  const double held = std::isnan(rounded) ? low : std::clamp(rounded, low, low + 255);
  *to = static_cast<std::byte>(static_cast<std::int32_t>(held));
}

std::span<const OpEntry> QuantizedOps() { return kOps; }

}  // namespace espalier::runtime
