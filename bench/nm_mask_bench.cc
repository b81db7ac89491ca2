// Pruning N:M in place, beside a memcpy of the same 4096 x 4096 matrix. Where M does not divide
// 4096 the kernel goes row by row and each row has a tail.
#include <bit>

#include "bench/ratio.h"
#include "espalier/kernels/nm_mask.h"

namespace espalier {
namespace {

constexpr std::size_t kRows = 4096;
constexpr std::size_t kCols = 4096;

template <typename T>
void Register(const char* type, const std::vector<T>& weights) {
  RegisterMemcpy(fmt::format("memcpy {}", type), weights);
  constexpr std::pair<std::size_t, std::size_t> kPatterns[] = {
      {2, 4}, {1, 2}, {1, 4}, {4, 8},  {2, 8},  {2, 3},  {3, 5},
      {3, 6}, {5, 7}, {4, 9}, {8, 12}, {7, 15}, {4, 16}, {8, 16}};
  for (const auto& [n, m] : kPatterns) {
    RegisterRatio(fmt::format("{}:{} {}", n, m, type), weights,
                  [n, m](std::vector<T>& work) { PruneNm(work.data(), kRows, kCols, n, m); });
  }
}

int Main(int argc, char** argv) {
  const std::vector<float> values = NormalWeights(kRows * kCols);
  std::vector<std::uint32_t> bits(values.size());
  std::vector<std::uint16_t> high_bits(values.size());  // bfloat16, cut instead of rounded
  for (std::size_t i = 0; i < values.size(); ++i) {
    bits[i] = std::bit_cast<std::uint32_t>(values[i]);
    high_bits[i] = static_cast<std::uint16_t>(bits[i] >> 16);
  }
  Register("float32", bits);
  Register("bfloat16", high_bits);
  return RunRatioBenchmarks(argc, argv);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
