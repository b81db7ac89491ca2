#include "esp/checksum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace espalier::internal {
namespace {

constexpr std::size_t kLanes = 8;
constexpr std::uint64_t kWord = 0xC2B2AE3D27D4EB4Fu;  // odd, with bits well spread
constexpr std::uint64_t kLane = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio

using Words = std::array<std::uint64_t, kLanes>;

void AddStripe(const std::byte* stripe, Words* lanes) {
  Words words;
  std::memcpy(words.data(), stripe, sizeof words);
  for (std::size_t i = 0; i < kLanes; ++i) {
    (*lanes)[i] = std::rotl((*lanes)[i] + words[i] * kWord, 31) * kLane;
  }
}

}  // namespace

std::uint64_t Checksum(std::span<const std::byte> bytes) noexcept {
  Words lanes;
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = (i + 1) * kLane;
  std::size_t at = 0;
  for (; bytes.size() - at >= sizeof(Words); at += sizeof(Words)) {
    AddStripe(bytes.data() + at, &lanes);
  }
  if (at < bytes.size()) {
    std::array<std::byte, sizeof(Words)> last = {};
    std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), last.begin());
    AddStripe(last.data(), &lanes);
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) {
    sum = (sum ^ lane) * kWord;
    sum ^= sum >> 32;
  }
  return sum;
}

}  // namespace espalier::internal
