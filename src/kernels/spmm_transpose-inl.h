// Transposition of 4 x 4 floats; included once per target.
#if defined(ESPALIER_KERNELS_SPMM_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SPMM_TRANSPOSE_INL_H_
#undef ESPALIER_KERNELS_SPMM_TRANSPOSE_INL_H_
#else
#define ESPALIER_KERNELS_SPMM_TRANSPOSE_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
// to[j * to_ld + i] = from[i * from_ld + j] for i, j in 0..3.
HWY_INLINE void TransposeFour(const float* HWY_RESTRICT from, size_t from_ld,
                              float* HWY_RESTRICT to, size_t to_ld) {
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 4; ++j) to[j * to_ld + i] = from[i * from_ld + j];
  }
}
#else
// columns[j] = from[i * from_ld + j] for i, j in 0..3.
HWY_INLINE void LoadTransposedFour(const float* HWY_RESTRICT from, size_t from_ld,
                                   hn::Vec<hn::FixedTag<float, 4>>* columns) {
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> wide;
  const auto a = hn::LoadU(d, from);
  const auto b = hn::LoadU(d, from + from_ld);
  const auto c = hn::LoadU(d, from + 2 * from_ld);
  const auto e = hn::LoadU(d, from + 3 * from_ld);
  const auto ab_low = hn::BitCast(wide, hn::InterleaveLower(d, a, b));
  const auto ce_low = hn::BitCast(wide, hn::InterleaveLower(d, c, e));
  const auto ab_high = hn::BitCast(wide, hn::InterleaveUpper(d, a, b));
  const auto ce_high = hn::BitCast(wide, hn::InterleaveUpper(d, c, e));
  columns[0] = hn::BitCast(d, hn::InterleaveLower(wide, ab_low, ce_low));
  columns[1] = hn::BitCast(d, hn::InterleaveUpper(wide, ab_low, ce_low));
  columns[2] = hn::BitCast(d, hn::InterleaveLower(wide, ab_high, ce_high));
  columns[3] = hn::BitCast(d, hn::InterleaveUpper(wide, ab_high, ce_high));
}

// to[j * to_ld + i] = from[i * from_ld + j] for i, j in 0..3.
HWY_INLINE void TransposeFour(const float* HWY_RESTRICT from, size_t from_ld,
                              float* HWY_RESTRICT to, size_t to_ld) {
  const hn::FixedTag<float, 4> d;
  hn::Vec<decltype(d)> columns[4];
  LoadTransposedFour(from, from_ld, columns);
  for (size_t j = 0; j < 4; ++j) hn::StoreU(columns[j], d, to + j * to_ld);
}
#endif

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
