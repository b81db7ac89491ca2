// Entries of 2 or 4 output channels x 1 input channel: kRows2, kRows4, and kDense, where each input
// channel has its entry. Each vector of X that is loaded meets 2 or 4 weights.
#if defined(ESPALIER_KERNELS_SPMM_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SPMM_BLOCKS_INL_H_
#undef ESPALIER_KERNELS_SPMM_BLOCKS_INL_H_
#else
#define ESPALIER_KERNELS_SPMM_BLOCKS_INL_H_
#endif

#include "kernels/spmm_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// acc[r][i] += weight r of the entry * row[i].
template <size_t kRows, size_t kVectors, PackedValue kValue>
HWY_INLINE void AddBlock(const float* HWY_RESTRICT row, const void* values, size_t entry,
                         SpmmVec* acc) {
  const SpmmTag d;
  SpmmVec x[kVectors];
  ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) x[i] = hn::Load(d, row + i * hn::Lanes(d));
  ESPALIER_UNROLL for (size_t r = 0; r < kRows; ++r) {
    const auto weight = WeightAt<kValue>(values, entry * kRows + r);
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
      acc[r * kVectors + i] = hn::MulAdd(weight, x[i], acc[r * kVectors + i]);
    }
  }
}

template <bool kDense, size_t kRows, size_t kVectors, PackedValue kValue>
HWY_INLINE void BlockRow(const SpmmRows& c, size_t row, size_t column, size_t at, size_t end) {
  const SpmmTag d;
  const size_t valid = HWY_MIN(kRows, c.rows - row);
  SpmmVec acc[kRows * kVectors];
  ESPALIER_UNROLL for (size_t r = 0; r < kRows; ++r) {
    if (r < valid) {
      BeginRow<kVectors>(c, row + r, column, acc + r * kVectors);
    } else {
      ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) acc[r * kVectors + i] = hn::Zero(d);
    }
  }
  const void* HWY_RESTRICT values = c.values;
  if constexpr (kDense) {
    const float* HWY_RESTRICT x = c.x + column;
    for (; at + 2 <= end; at += 2, x += 2 * c.x_ld) {
      AddBlock<kRows, kVectors, kValue>(x, values, at, acc);
      AddBlock<kRows, kVectors, kValue>(x + c.x_ld, values, at + 1, acc);
    }
    if (at < end) AddBlock<kRows, kVectors, kValue>(x, values, at, acc);
  } else {
    const auto* x = reinterpret_cast<const char*>(c.x + column);
    for (; at < end; ++at) {
      const auto* from = reinterpret_cast<const float*>(x + 8 * size_t{c.offsets[at]});
      AddBlock<kRows, kVectors, kValue>(from, values, at, acc);
    }
  }
  ESPALIER_UNROLL for (size_t r = 0; r < kRows; ++r) {
    if (r < valid) FinishRow<kVectors>(c, row + r, column, acc + r * kVectors);
  }
}

template <bool kDense, size_t kRows, size_t kVectors, PackedValue kValue>
void BlockRows(const SpmmRows& c) {
  const size_t width = kVectors * hn::Lanes(SpmmTag());
  size_t at = 0;
  for (const PackedVisit* visit = c.visit; visit != c.visit_end; ++visit) {
    const size_t end = at + visit->count;
    for (size_t strip = 0; strip < c.strips; ++strip) {
      BlockRow<kDense, kRows, kVectors, kValue>(c, visit->row, strip * width, at, end);
    }
    at = end;
  }
}

template <PackedValue kValue>
internal::SpmmRowsFn ChooseBlockRows(PackedKind kind, size_t vectors) {
  static constexpr internal::SpmmRowsFn kPairs[] = {
      &BlockRows<false, 2, 1, kValue>, &BlockRows<false, 2, 2, kValue>,
      &BlockRows<false, 2, 3, kValue>, &BlockRows<false, 2, 4, kValue>,
      &BlockRows<false, 2, 5, kValue>, &BlockRows<false, 2, 6, kValue>};
  static constexpr internal::SpmmRowsFn kQuads[] = {&BlockRows<false, 4, 1, kValue>,
                                                    &BlockRows<false, 4, 2, kValue>,
                                                    &BlockRows<false, 4, 3, kValue>};
  static constexpr internal::SpmmRowsFn kFull[] = {&BlockRows<true, 4, 1, kValue>,
                                                   &BlockRows<true, 4, 2, kValue>,
                                                   &BlockRows<true, 4, 3, kValue>};
  if (kind == PackedKind::kRows2) return kPairs[vectors - 1];
  return kind == PackedKind::kRows4 ? kQuads[vectors - 1] : kFull[vectors - 1];
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
