#include "espalier/base/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string_view>

namespace espalier {
namespace {

constexpr int kLast = static_cast<int>(DType::kString);

// The definition of IEEE binary16 in plain arithmetic, not in bits.
float HalfByArithmetic(std::uint32_t bits) {
  const float sign = bits >= 0x8000 ? -1.0f : 1.0f;
  const int exponent = static_cast<int>(bits / 1024 % 32);
  const float fraction = static_cast<float>(bits % 1024) / 1024;
  if (exponent == 31) {
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  return exponent == 0 ? sign * std::ldexp(fraction, -14)
                       : sign * std::ldexp(1 + fraction, exponent - 15);
}

TEST(HalfToFloat, EqualsTheDefinitionForAll65536Values) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float want = HalfByArithmetic(bits);
    const float got = HalfToFloat(static_cast<std::uint16_t>(bits));
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      ASSERT_EQ(std::signbit(got), bits >= 0x8000) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(want)) << bits;
    }
  }
}

TEST(BFloat16ToFloat, IsTheUpperHalfOfAFloatForAll65536Values) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(BFloat16ToFloat(static_cast<std::uint16_t>(bits))),
              bits * 65536u);
  }
}

TEST(DTypeName, IsDifferentForEachType) {
  std::set<std::string_view> names;
  for (int i = 0; i <= kLast; ++i) names.insert(DTypeName(static_cast<DType>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kLast) + 1);
  EXPECT_EQ(DTypeName(DType::kBFloat16), "bfloat16");
  EXPECT_EQ(DTypeName(DType::kFloat8E5M2Fnuz), "float8_e5m2fnuz");
  EXPECT_EQ(DTypeName(DType::kString), "string");
}

// "uint16" has 16 bits, "float8_e4m3fn" 8: the first number in a name is the size.
TEST(DTypeBits, IsTheNumberInTheName) {
  for (int i = 0; i <= kLast; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string_view name = DTypeName(dtype);
    std::size_t want = 0;
    std::size_t at = name.starts_with("bfloat16") ? 6 : name.find_first_of("123456789");
    while (at < name.size() && name[at] >= '0' && name[at] <= '9') {
      want = want * 10 + static_cast<std::size_t>(name[at++] - '0');
    }
    if (dtype == DType::kBool) want = 8;
    EXPECT_EQ(DTypeBits(dtype), want) << name;
  }
}

TEST(IsPrunableDType, HoldsForTheFourFloatTypesAndBytes) {
  const std::set<DType> floats = {DType::kFloat32, DType::kFloat16, DType::kBFloat16,
                                  DType::kFloat64};
  for (int i = 0; i <= kLast; ++i) {
    const auto dtype = static_cast<DType>(i);
    const bool is_byte = dtype == DType::kInt8 || dtype == DType::kUint8;
    EXPECT_EQ(IsFloatDType(dtype), floats.contains(dtype)) << DTypeName(dtype);
    EXPECT_EQ(IsPrunableDType(dtype), floats.contains(dtype) || is_byte) << DTypeName(dtype);
  }
}

}  // namespace
}  // namespace espalier
