// Functions and arithmetic on float32 rows of 64 KiB, beside a memcpy of the same bytes.
#include "bench/ratio.h"
#include "espalier/kernels/map_row.h"

namespace espalier {
namespace {

constexpr std::size_t kCount = std::size_t{1}
                               << 14;  // two rows and the result fit the second cache
constexpr int kTurns = 64;             // a turn alone is too short for the clock

int Main(int argc, char** argv) {
  std::vector<float> values = NormalWeights(kCount);
  for (float& value : values) value *= 50;  // deviation 1: every branch of erf is taken
  const std::vector<float> other = values;
  std::vector<float> out(kCount);
  RegisterRatio("64 x memcpy", values, [&](std::vector<float>& work) {
    for (int i = 0; i < kTurns; ++i) {
      std::memcpy(out.data(), work.data(), kCount * sizeof(float));
      benchmark::ClobberMemory();
    }
  });
  const auto map = [&](const char* name, MapKind kind) {
    RegisterRatio(name, values, [&out, kind](std::vector<float>& work) {
      for (int i = 0; i < kTurns; ++i) MapRow(kind, work.data(), out.data(), kCount);
    });
  };
  map("64 x exp", MapKind::kExp);
  map("64 x erf", MapKind::kErf);
  map("64 x gelu", MapKind::kGelu);
  map("64 x gelu by tanh", MapKind::kTanhGelu);
  map("64 x sigmoid", MapKind::kSigmoid);
  map("64 x tanh", MapKind::kTanh);
  const auto combine = [&](const char* name, CombineKind kind) {
    RegisterRatio(name, values, [&, kind](std::vector<float>& work) {
      for (int i = 0; i < kTurns; ++i) {
        CombineRow(kind, work.data(), 1, other.data(), 1, out.data(), kCount);
      }
    });
  };
  combine("64 x add", CombineKind::kAdd);
  combine("64 x divide", CombineKind::kDivide);
  combine("64 x max", CombineKind::kMax);
  return RunRatioBenchmarks(argc, argv);
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
