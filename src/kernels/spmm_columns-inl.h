// Entries of 1 output channel x 4 neighbouring input channels: SpmmRowsFn of PackedKind::kColumns4.
#if defined(ESPALIER_KERNELS_SPMM_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SPMM_COLUMNS_INL_H_
#undef ESPALIER_KERNELS_SPMM_COLUMNS_INL_H_
#else
#define ESPALIER_KERNELS_SPMM_COLUMNS_INL_H_
#endif

#include "kernels/spmm_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <size_t kVectors, int kJ, class Four>
HWY_INLINE void AddColumn(const float* HWY_RESTRICT row, Four four, SpmmVec* acc) {
  const SpmmTag d;
  const auto weight = WeightOf<kJ>(four);
  ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
    acc[i] = hn::MulAdd(weight, hn::Load(d, row + i * hn::Lanes(d)), acc[i]);
  }
}

template <size_t kVectors, PackedValue kValue>
HWY_INLINE void ColumnsRow(const SpmmRows& c, size_t row, size_t column, size_t at, size_t end) {
  constexpr size_t kChains = kVectors <= 6 ? 2 : 1;  // more sums under way where vectors are few
  const SpmmTag d;
  const auto* x = reinterpret_cast<const char*>(c.x + column);
  const void* HWY_RESTRICT values = c.values;
  SpmmVec acc[kChains * kVectors];
  BeginRow<kVectors>(c, row, column, acc);
  ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) acc[i] = hn::Zero(d);
  SpmmVec* const odd = acc + (kChains - 1) * kVectors;
  for (; at < end; ++at) {
    const auto four = LoadFour<kValue>(values, 4 * at);
    const auto* from = reinterpret_cast<const float*>(x + 8 * size_t{c.offsets[at]});
    AddColumn<kVectors, 0>(from, four, acc);
    AddColumn<kVectors, 1>(from + c.x_ld, four, odd);
    AddColumn<kVectors, 2>(from + 2 * c.x_ld, four, acc);
    AddColumn<kVectors, 3>(from + 3 * c.x_ld, four, odd);
  }
  ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) {
    acc[i % kVectors] = hn::Add(acc[i % kVectors], acc[i]);
  }
  FinishRow<kVectors>(c, row, column, acc);
}

template <size_t kVectors, PackedValue kValue>
void ColumnsRows(const SpmmRows& c) {
  const size_t width = kVectors * hn::Lanes(SpmmTag());
  size_t at = 0;
  for (const PackedVisit* visit = c.visit; visit != c.visit_end; ++visit) {
    const size_t end = at + visit->count;
    for (size_t strip = 0; strip < c.strips; ++strip) {
      ColumnsRow<kVectors, kValue>(c, visit->row, strip * width, at, end);
    }
    at = end;
  }
}

template <PackedValue kValue>
internal::SpmmRowsFn ChooseColumns(size_t vectors) {
  static constexpr internal::SpmmRowsFn kTable[] = {
      &ColumnsRows<1, kValue>, &ColumnsRows<2, kValue>, &ColumnsRows<3, kValue>,
      &ColumnsRows<4, kValue>, &ColumnsRows<5, kValue>, &ColumnsRows<6, kValue>,
      &ColumnsRows<7, kValue>, &ColumnsRows<8, kValue>, &ColumnsRows<9, kValue>,
      &ColumnsRows<10, kValue>};
  return kTable[vectors - 1];
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
