#include <algorithm>
#include <cmath>

#include "espalier/base/dtype.h"
#include "espalier/kernels/magnitude.h"

namespace espalier {
namespace {

constexpr std::uint32_t kKeyBits = 0x7FFFFFFF;
constexpr std::size_t kBlock = 4096;

template <typename T, typename ToFloat>
MagnitudeStats MeasureReference(const T* values, std::size_t count, ToFloat to_float) {
  MagnitudeStats stats;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    float lanes[16] = {};
    for (std::size_t i = begin; i < std::min(count, begin + kBlock); ++i) {
      const float value = to_float(values[i]);
      lanes[i % 16] += std::fabs(value);
      if (value == 0.0f) ++stats.zeros;
      if (!std::isfinite(value)) stats.finite = false;
    }
    double block_sum = 0;
    for (const float lane : lanes) block_sum += lane;
    stats.sum += block_sum;
  }
  if (!stats.finite) stats.sum = 0;
  return stats;
}

}  // namespace

MagnitudeStats MeasureMagnitudesReference(const float* values, std::size_t count) noexcept {
  return MeasureReference(values, count, [](float value) { return value; });
}

MagnitudeStats MeasureHalfMagnitudesReference(const std::uint16_t* bits,
                                              std::size_t count) noexcept {
  return MeasureReference(bits, count, HalfToFloat);
}

MagnitudeStats MeasureBFloat16MagnitudesReference(const std::uint16_t* bits,
                                                  std::size_t count) noexcept {
  return MeasureReference(bits, count, BFloat16ToFloat);
}

void AddKeyHistogramReference(const std::uint32_t* bits, std::size_t count, int shift,
                              std::uint32_t prefix, std::uint64_t* histogram) noexcept {
  const int prefix_shift = shift == 0 ? 9 : shift + 11;
  const std::uint32_t digit_mask = shift == 0 ? 511 : 2047;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t key = bits[i] & kKeyBits;
    if (key >> prefix_shift == prefix) ++histogram[(key >> shift) & digit_mask];
  }
}

void PruneBelowReference(std::uint32_t* bits, std::size_t count, std::uint32_t threshold,
                         std::uint64_t* ties_kept) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t key = bits[i] & kKeyBits;
    if (key > threshold) continue;
    if (key == threshold && *ties_kept > 0) {
      --*ties_kept;
    } else {
      bits[i] = 0;
    }
  }
}

}  // namespace espalier
