// Sums of magnitudes, and the exact selection of the smallest half of a matrix (unstructured
// pruning: three digits of a radix selection, then one pruning pass), beside a memcpy.
#include <array>
#include <bit>
#include <cmath>

#include "bench/ratio.h"
#include "espalier/kernels/magnitude.h"

namespace espalier {
namespace {

std::array<std::uint64_t, 2048> histogram;
constexpr std::size_t kCount = std::size_t{4096} * 4096;

// Prunes exactly `pruned` elements: those of the smallest magnitude, of equal ones the later.
void PruneSmallest(std::vector<std::uint32_t>& bits, std::uint64_t pruned) {
  std::uint32_t key = 0;
  std::uint64_t ties_pruned = pruned;
  std::uint64_t ties = 0;
  for (const int shift : {20, 9, 0}) {
    std::array<std::uint64_t, 2048> histogram = {};
    AddKeyHistogram(bits.data(), bits.size(), shift, key, histogram.data());
    std::uint32_t digit = 0;
    while (ties_pruned >= histogram[digit]) ties_pruned -= histogram[digit++];
    key = (key << (shift == 0 ? 9 : 11)) | digit;
    ties = histogram[digit];
  }
  std::uint64_t ties_kept = ties - ties_pruned;
  PruneBelow(bits.data(), bits.size(), key, &ties_kept);
}

void RegisterMeasure(const std::vector<float>& values, const std::vector<std::uint16_t>& halves) {
  RegisterRatio("MeasureMagnitudes", values, [](std::vector<float>& work) {
    benchmark::DoNotOptimize(MeasureMagnitudes(work.data(), work.size()));
  });
  RegisterRatio("MeasureHalfMagnitudes", halves, [](std::vector<std::uint16_t>& work) {
    benchmark::DoNotOptimize(MeasureHalfMagnitudes(work.data(), work.size()));
  });
  RegisterRatio("MeasureBFloat16Magnitudes", halves, [](std::vector<std::uint16_t>& work) {
    benchmark::DoNotOptimize(MeasureBFloat16Magnitudes(work.data(), work.size()));
  });
}

void RegisterSteps(const std::vector<std::uint32_t>& bits, const std::vector<std::uint32_t>& same) {
  for (const int shift : {20, 9, 0}) {
    // 0x3C8 has 1/64 = 0.0156, near the median of |w|, as its first digit.
    const std::uint32_t prefix = shift == 20 ? 0 : shift == 9 ? 0x3C8 : 0x3C8 << 11;
    RegisterRatio(fmt::format("AddKeyHistogram shift {}", shift), bits,
                  [shift, prefix](std::vector<std::uint32_t>& work) {
                    AddKeyHistogram(work.data(), work.size(), shift, prefix, histogram.data());
                  });
  }
  RegisterRatio("AddKeyHistogram all equal", same, [](std::vector<std::uint32_t>& work) {
    AddKeyHistogram(work.data(), work.size(), 20, 0, histogram.data());
  });
  RegisterRatio("PruneBelow", bits, [](std::vector<std::uint32_t>& work) {
    std::uint64_t ties = 5;
    PruneBelow(work.data(), work.size(), std::bit_cast<std::uint32_t>(0.0135f), &ties);
  });
}

int Main(int argc, char** argv) {
  const std::vector<float> values = NormalWeights(kCount);
  std::vector<std::uint32_t> bits(kCount);
  std::vector<std::uint32_t> octave(kCount);     // two bins at random: the histogram's worst case
  std::vector<std::uint32_t> half_zero(kCount);  // as after an earlier pruning
  std::vector<std::uint32_t> same(kCount, std::bit_cast<std::uint32_t>(0.5f));
  std::vector<std::uint16_t> halves(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    bits[i] = std::bit_cast<std::uint32_t>(values[i]);
    octave[i] = std::bit_cast<std::uint32_t>(0.75f + 0.001f * values[i]);
    half_zero[i] = std::abs(values[i]) < 0.0135f ? 0 : bits[i];
    halves[i] = static_cast<std::uint16_t>(bits[i] >> 16);
  }
  RegisterMemcpy("memcpy float32", bits);
  RegisterMeasure(values, halves);
  RegisterSteps(bits, same);
  const auto half = [](std::vector<std::uint32_t>& work) { PruneSmallest(work, kCount / 2); };
  RegisterRatio("unstructured 50 %", bits, half);
  RegisterRatio("unstructured 50 %, one octave", octave, half);
  RegisterRatio("unstructured 75 %, half zero", half_zero,
                [](std::vector<std::uint32_t>& work) { PruneSmallest(work, kCount / 4 * 3); });
  RegisterRatio("AddKeyHistogram half zero", half_zero, [](std::vector<std::uint32_t>& work) {
    AddKeyHistogram(work.data(), work.size(), 20, 0, histogram.data());
  });
  RegisterRatio("AddKeyHistogram one octave", octave, [](std::vector<std::uint32_t>& work) {
    AddKeyHistogram(work.data(), work.size(), 20, 0, histogram.data());
  });
  RegisterRatio("unstructured 50 %, all equal", same, half);
  return RunRatioBenchmarks(argc, argv);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
