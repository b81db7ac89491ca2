#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/machine_limits.cc"
// Arrays of vectors; SVE's have no size, so such machines run NEON.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#include "bench/machine_limits.h"

#include <ctime>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
constexpr size_t kSums = 8;       // two multiply-adds a cycle of 4 cycles each
constexpr size_t kFloats = 4096;  // 16 KiB: half of the nearest cache
constexpr size_t kRounds = 128;

double Seconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// GFLOP/s of kRounds walks over x; kLoad: each multiply-add reads a vector of it.
template <bool kLoad>
double Measure(const float* HWY_RESTRICT x, float* sink) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const auto weight = hn::Set(d, x[0]);
  hn::Vec<Tag> sums[kSums];
  for (auto& sum : sums) sum = hn::Zero(d);
  const double begin = Seconds();
  for (size_t round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kFloats; i += kSums * lanes) {
      for (size_t s = 0; s < kSums; ++s) {
        const auto other = kLoad ? hn::Load(d, x + i + s * lanes) : weight;
        sums[s] = hn::MulAdd(weight, other, sums[s]);
      }
    }
  }
  const double seconds = Seconds() - begin;
  for (const auto& sum : sums) hn::Store(hn::Add(sum, hn::Load(d, sink)), d, sink);
  return 2.0 * kRounds * kFloats / seconds * 1e-9;
}

void MeasureLimits(double* fma, double* load_fma) {
  HWY_ALIGN_MAX static float x[kFloats];
  HWY_ALIGN_MAX static float sink[hn::MaxLanes(Tag())];
  for (float& value : x) value = 1e-3f;  // or all pages are the one page of zeros
  *fma = Measure<false>(x, sink);
  *load_fma = Measure<true>(x, sink);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(MeasureLimits);

MachineLimits MeasureMachineLimits() {
  MachineLimits limits = {};
  HWY_DYNAMIC_DISPATCH(MeasureLimits)(&limits.fma, &limits.load_fma);
  return limits;
}

}  // namespace espalier
#endif  // HWY_ONCE
