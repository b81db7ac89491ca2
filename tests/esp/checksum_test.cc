#include "esp/checksum.h"

#include <set>

#include "tests/esp/esp_case.h"

namespace espalier::internal {
namespace {

std::vector<std::byte> RandomBytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(EspChecksum, EachBitCounts) {
  for (const std::size_t size : {1, 7, 8, 63, 64, 65, 200}) {
    std::vector<std::byte> bytes = RandomBytes(size, 3);
    std::set<std::uint64_t> sums = {Checksum(bytes)};
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      const auto mask = static_cast<std::byte>(1u << bit % 8);
      bytes[bit / 8] ^= mask;
      EXPECT_TRUE(sums.insert(Checksum(bytes)).second) << "bit " << bit;
      bytes[bit / 8] ^= mask;
    }
  }
}

TEST(EspChecksum, PlacesCount) {
  std::vector<std::byte> bytes = RandomBytes(512, 4);
  const std::uint64_t sum = Checksum(bytes);
  for (std::size_t i = 0; i + 8 < bytes.size(); i += 8) {
    for (const std::size_t distance : {8, 64}) {
      if (i + distance + 8 > bytes.size()) continue;
      std::vector<std::byte> swapped = bytes;
      std::swap_ranges(swapped.begin() + static_cast<std::ptrdiff_t>(i),
                       swapped.begin() + static_cast<std::ptrdiff_t>(i + 8),
                       swapped.begin() + static_cast<std::ptrdiff_t>(i + distance));
      EXPECT_NE(Checksum(swapped), sum) << i << " and " << i + distance;
    }
  }
}

// The file relies on it: sums are of padded bytes or of bytes before padding.
TEST(EspChecksum, ZerosThatFillTheLast64BytesUpDoNotCount) {
  for (std::size_t size = 1; size <= 130; ++size) {
    std::vector<std::byte> bytes = RandomBytes(size, 5);
    const std::uint64_t sum = Checksum(bytes);
    bytes.resize((size + 63) / 64 * 64);
    EXPECT_EQ(Checksum(bytes), sum) << size;
  }
}

// A change of the function would make all files unreadable: the value is pinned.
TEST(EspChecksum, KeepsItsValue) {
  std::vector<std::byte> bytes(200);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(Checksum(bytes), 1530087655043782429u);
}

}  // namespace
}  // namespace espalier::internal
