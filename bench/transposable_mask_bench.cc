// The exact best of the 90 transposable 2:4 masks, beside a memcpy of the same matrix.
#include "bench/ratio.h"
#include "espalier/kernels/transposable_mask.h"

namespace espalier {
namespace {

constexpr std::size_t kRows = 4096;
constexpr std::size_t kCols = 4096;

int Main(int argc, char** argv) {
  const std::vector<float> weights = NormalWeights(kRows * kCols);
  std::vector<std::uint8_t> keep(weights.size());
  RegisterMemcpy("memcpy float32", weights);
  RegisterRatio("PruneTransposable24", weights,
                [](std::vector<float>& work) { PruneTransposable24(work.data(), kRows, kCols); });
  // Signed values are no scores, but the kernel takes their magnitude in the same time.
  RegisterRatio("MaskTransposable24", weights, [&keep](std::vector<float>& work) {
    MaskTransposable24(work.data(), kRows, kCols, kCols, keep.data());
    benchmark::DoNotOptimize(keep.data());
  });
  return RunRatioBenchmarks(argc, argv);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
