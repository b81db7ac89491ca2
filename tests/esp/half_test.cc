#include "esp/half.h"

#include "espalier/base/dtype.h"
#include "tests/esp/esp_case.h"

namespace espalier::internal {
namespace {

TEST(EspHalf, WidensAllHalves) {
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const float want = HalfToFloat(static_cast<std::uint16_t>(half));
    const float got = std::bit_cast<float>(FloatBitsOfHalf(half));
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << half;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(want)) << half;
    }
  }
}

// Neighbouring halves, the point between them and the floats beside that point.
TEST(EspHalf, RoundsToNearestEven) {
  for (std::uint32_t half = 0; half < 0x7C00; ++half) {
    const double low = HalfToFloat(static_cast<std::uint16_t>(half));
    const double high = half == 0x7BFF ? 65536 : HalfToFloat(static_cast<std::uint16_t>(half + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact: 12 bits
    for (const std::uint32_t sign : {0u, 0x8000u}) {
      const auto round = [sign](float value) {
        return HalfOfFloatBits(std::bit_cast<std::uint32_t>(value) | sign << 16);
      };
      ASSERT_EQ(round(static_cast<float>(low)), half | sign);
      ASSERT_EQ(round(std::nextafter(middle, 0.0f)), half | sign) << middle;
      ASSERT_EQ(round(std::nextafter(middle, 1e9f)), (half + 1) | sign) << middle;
      ASSERT_EQ(round(middle), (half % 2 == 0 ? half : half + 1) | sign) << middle;
    }
  }
  EXPECT_EQ(HalfOfFloatBits(0x7F800000u), 0x7C00u);
  EXPECT_EQ(HalfOfFloatBits(0x7F7FFFFFu), 0x7C00u);
  EXPECT_EQ(HalfOfFloatBits(1u), 0u);
}

TEST(EspHalf, RoundsToNearestEvenBFloat16) {
  for (std::uint32_t high = 0; high < 0x7F80; ++high) {
    const std::uint32_t bits = high << 16;
    ASSERT_EQ(BFloat16OfFloatBits(bits), high);
    ASSERT_EQ(BFloat16OfFloatBits(bits + 0x7FFF), high);
    ASSERT_EQ(BFloat16OfFloatBits(bits + 0x8001), high + 1);
    ASSERT_EQ(BFloat16OfFloatBits(bits + 0x8000), high % 2 == 0 ? high : high + 1);
    ASSERT_EQ(FloatBitsOfBFloat16(high), bits);
    ASSERT_EQ(BFloat16OfFloatBits(bits | 0x80000000u), high | 0x8000u);
  }
}

}  // namespace
}  // namespace espalier::internal
