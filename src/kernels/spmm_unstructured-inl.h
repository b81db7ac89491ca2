// One weight an entry, any column: SpmmRowsFn of PackedKind::kUnstructured and kNm.
#if defined(ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_
#undef ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_
#else
#define ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_
#endif

#include "kernels/spmm_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// acc[i] += weight kJ of the four * the row of X at its offset.
template <size_t kVectors, int kJ, class Four>
HWY_INLINE void AddEntry(const char* x, const uint16_t* offsets, Four four, SpmmVec* acc) {
  const SpmmTag d;
  const auto* row = reinterpret_cast<const float*>(x + 8 * size_t{offsets[kJ]});
  const auto weight = WeightOf<kJ>(four);
  ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
    acc[i] = hn::MulAdd(weight, hn::Load(d, row + i * hn::Lanes(d)), acc[i]);
  }
}

// Few vectors: several sums each, so that about 8 multiply-adds are under way.
constexpr size_t ChainsOf(size_t vectors) { return vectors <= 3 ? 4 : vectors <= 6 ? 2 : 1; }

template <size_t kVectors, PackedValue kValue>
void UnstructuredRows(const SpmmRows& c) {
  constexpr size_t kChains = ChainsOf(kVectors);
  const SpmmTag d;
  const auto* x = reinterpret_cast<const char*>(c.x);
  const uint16_t* HWY_RESTRICT offsets = c.offsets;
  size_t at = 0;
  for (const PackedVisit* visit = c.visit; visit != c.visit_end; ++visit) {
    SpmmVec acc[kChains * kVectors];
    BeginRow<kVectors>(c, visit->row, acc);
    ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) acc[i] = hn::Zero(d);
    SpmmVec* const odd = acc + 1 % kChains * kVectors;
    SpmmVec* const third = acc + 2 % kChains * kVectors;
    SpmmVec* const fourth = acc + 3 % kChains * kVectors;
    const size_t end = at + visit->count;
    for (; at + 4 <= end; at += 4) {
      const auto four = LoadFour<kValue>(c.values, at);
      AddEntry<kVectors, 0>(x, offsets + at, four, acc);
      AddEntry<kVectors, 1>(x, offsets + at, four, odd);
      AddEntry<kVectors, 2>(x, offsets + at, four, third);
      AddEntry<kVectors, 3>(x, offsets + at, four, fourth);
    }
    if (at < end) {
      const auto four = LoadFour<kValue>(c.values, at);
      AddEntry<kVectors, 0>(x, offsets + at, four, acc);
      if (at + 1 < end) AddEntry<kVectors, 1>(x, offsets + at, four, odd);
      if (at + 2 < end) AddEntry<kVectors, 2>(x, offsets + at, four, third);
      at = end;
    }
    ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) {
      acc[i % kVectors] = hn::Add(acc[i % kVectors], acc[i]);
    }
    FinishRow<kVectors>(c, visit->row, acc);
  }
}

template <PackedValue kValue>
internal::SpmmRowsFn ChooseUnstructured(size_t vectors) {
  static constexpr internal::SpmmRowsFn kTable[internal::kSpmmMaxVectors] = {
      &UnstructuredRows<1, kValue>, &UnstructuredRows<2, kValue>, &UnstructuredRows<3, kValue>,
      &UnstructuredRows<4, kValue>, &UnstructuredRows<5, kValue>, &UnstructuredRows<6, kValue>,
      &UnstructuredRows<7, kValue>, &UnstructuredRows<8, kValue>, &UnstructuredRows<9, kValue>,
      &UnstructuredRows<10, kValue>};
  return kTable[vectors - 1];
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
