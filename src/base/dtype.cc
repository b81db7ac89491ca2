#include "espalier/base/dtype.h"

#include <bit>

namespace espalier {
namespace {

struct DTypeRow {
  std::string_view name;
  std::size_t bits;
};

// In the order of the enum.
constexpr DTypeRow kRows[] = {
    {"unknown", 0},       {"float32", 32},
    {"float16", 16},      {"bfloat16", 16},
    {"float64", 64},      {"int8", 8},
    {"uint8", 8},         {"int16", 16},
    {"uint16", 16},       {"int32", 32},
    {"uint32", 32},       {"int64", 64},
    {"uint64", 64},       {"bool", 8},
    {"complex64", 64},    {"complex128", 128},
    {"float8_e4m3fn", 8}, {"float8_e4m3fnuz", 8},
    {"float8_e5m2", 8},   {"float8_e5m2fnuz", 8},
    {"float8_e8m0", 8},   {"int4", 4},
    {"uint4", 4},         {"float4", 4},
    {"string", 0},
};
static_assert(std::size(kRows) == static_cast<std::size_t>(DType::kString) + 1);

const DTypeRow& RowOf(DType dtype) noexcept { return kRows[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::string_view DTypeName(DType dtype) noexcept { return RowOf(dtype).name; }

std::size_t DTypeBits(DType dtype) noexcept { return RowOf(dtype).bits; }

bool IsFloatDType(DType dtype) noexcept {
  return dtype == DType::kFloat32 || dtype == DType::kFloat16 || dtype == DType::kBFloat16 ||
         dtype == DType::kFloat64;
}

bool IsPrunableDType(DType dtype) noexcept {
  return IsFloatDType(dtype) || dtype == DType::kInt8 || dtype == DType::kUint8;
}

float HalfToFloat(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1Fu;
  const std::uint32_t fraction = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (fraction << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // subnormal: fraction * 2^-24
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

float BFloat16ToFloat(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace espalier
