#include "esp/decode.h"

#include "tests/esp/esp_case.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kUnits = 200;
constexpr std::size_t kGuard = 4096 * 8;  // as far as eight gaps can reach

// Expands float32 values with hostile positions; nothing behind the output may change.
std::string ExpandGuarded(Packing packing, const std::vector<std::uint64_t>& positions) {
  const std::uint64_t payload = PayloadBytes(packing, DType::kFloat32, kUnits);
  std::vector<std::byte> work(WorkBytes(packing, payload));
  EXPECT_EQ(PositionBytes(packing, kUnits), 8 * positions.size());
  std::memcpy(work.data(), positions.data(), 8 * positions.size());
  std::vector<std::uint32_t> out(kUnits + kGuard, 0xABABABABu);
  std::fill_n(out.begin(), kUnits, 0u);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(out)).first(4 * kUnits);
  const char* problem = Expand(packing, DType::kFloat32, work, bytes);
  for (std::size_t i = kUnits; i < out.size(); ++i) {
    if (out[i] != 0xABABABABu) return fmt::format("wrote {} behind the end", i - kUnits);
  }
  return problem == nullptr ? "" : problem;
}

Packing Gaps(std::uint32_t width, std::uint64_t codes, std::uint64_t count) {
  Packing packing;
  packing.encoding = Encoding::kGaps;
  packing.width = width;
  packing.codes = codes;
  packing.count = count;
  return packing;
}

TEST(EspDecode, GapsStayInside) {
  const std::vector<std::uint64_t> zeros(2, 0);
  const std::vector<std::uint64_t> ones(2, ~std::uint64_t{0});
  const std::vector<std::uint64_t> long_gaps(2, 0xEEEEEEEEEEEEEEEEu);  // 14, and one stored
  EXPECT_EQ(ExpandGuarded(Gaps(4, 32, 32), zeros), "");
  EXPECT_EQ(ExpandGuarded(Gaps(4, 32, 31), zeros), "more positions than values");
  EXPECT_EQ(ExpandGuarded(Gaps(4, 32, 33), zeros), "fewer positions than values");
  EXPECT_EQ(ExpandGuarded(Gaps(4, 32, 32), long_gaps), "positions run past the end");
  EXPECT_EQ(ExpandGuarded(Gaps(4, 32, 0), ones), "positions run past the end");
  EXPECT_EQ(ExpandGuarded(Gaps(12, 10, 10), {0, 0xFFEFFE0000000000u}),
            "positions run past the end");
}

TEST(EspDecode, BitsStayInside) {
  Packing packing;
  packing.encoding = Encoding::kBitmap;
  packing.count = 1;
  EXPECT_EQ(ExpandGuarded(packing, {0, 0, 0, 0x80}), "");
  EXPECT_EQ(ExpandGuarded(packing, {0, 0, 0, 0x100}), "a position past the end");
  EXPECT_EQ(ExpandGuarded(packing, {0, 1, 0, 0x80}), "positions and values differ in number");
  EXPECT_EQ(ExpandGuarded(packing, {0, 0, 0, 0}), "positions and values differ in number");
}

TEST(EspDecode, ChoicesExist) {
  Packing packing;
  packing.encoding = Encoding::kChoice;
  packing.group = 4;
  packing.kept = 2;
  packing.count = kUnits / 2;
  for (const std::uint64_t inner : {1, 2, 5, 50}) {
    packing.inner = inner;
    // 50 codes of 3 bits; 6 and 7 do not exist.
    EXPECT_EQ(ExpandGuarded(packing, {0, 0, 0}), "");
    EXPECT_EQ(ExpandGuarded(packing, {5, 0, 5u << 19}), "");
    EXPECT_EQ(ExpandGuarded(packing, {6, 0, 0}), "a choice that does not exist");
    EXPECT_EQ(ExpandGuarded(packing, {0, 0, 7u << 19}), "a choice that does not exist");
  }
}

}  // namespace
}  // namespace espalier::internal
