// One weight an entry, any column: SpmmRowsFn of PackedKind::kUnstructured and kNm.
#if defined(ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_
#undef ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_
#else
#define ESPALIER_KERNELS_SPMM_UNSTRUCTURED_INL_H_
#endif

#include <bit>

#include "kernels/spmm_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four 16-bit offsets in one load: a load each would compete with those of X, which are the limit
// (2 a cycle; 88 -> 94 % of the peak at 6 vectors on Zen 3).
HWY_INLINE uint64_t LoadOffsets(const uint16_t* offsets) {
  uint64_t four;
  std::memcpy(&four, offsets, sizeof(four));
  return four;
}

// acc[i] += weight kJ of the four * the row of X at its offset.
template <size_t kVectors, int kJ, class Four>
HWY_INLINE void AddEntry(const char* x, uint64_t offsets, Four four, SpmmVec* acc) {
  const SpmmTag d;
  constexpr int kShift = 16 * ((std::endian::native == std::endian::little) ? kJ : 3 - kJ);
  const auto* row = reinterpret_cast<const float*>(x + 8 * (offsets >> kShift & 0xFFFF));
  const auto weight = WeightOf<kJ>(four);
  ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
    acc[i] = hn::MulAdd(weight, hn::Load(d, row + i * hn::Lanes(d)), acc[i]);
  }
}

// Few vectors: several sums each, so that about 8 multiply-adds are under way.
constexpr size_t ChainsOf(size_t vectors) { return vectors <= 3 ? 4 : vectors <= 6 ? 2 : 1; }

// One row of one strip: entries [at, end).
template <size_t kVectors, PackedValue kValue>
HWY_INLINE void UnstructuredRow(const SpmmRows& c, size_t row, size_t column, size_t at,
                                size_t end) {
  constexpr size_t kChains = ChainsOf(kVectors);
  const SpmmTag d;
  const auto* x = reinterpret_cast<const char*>(c.x + column);
  const uint16_t* HWY_RESTRICT offsets = c.offsets;
  const void* HWY_RESTRICT values = c.values;
  SpmmVec acc[kChains * kVectors];
  BeginRow<kVectors>(c, row, column, acc);
  ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) acc[i] = hn::Zero(d);
  SpmmVec* const second = acc + 1 % kChains * kVectors;
  SpmmVec* const third = acc + 2 % kChains * kVectors;
  SpmmVec* const fourth = acc + 3 % kChains * kVectors;
  for (; at + 4 <= end; at += 4) {
    const auto four = LoadFour<kValue>(values, at);
    const uint64_t where = LoadOffsets(offsets + at);
    AddEntry<kVectors, 0>(x, where, four, acc);
    AddEntry<kVectors, 1>(x, where, four, second);
    AddEntry<kVectors, 2>(x, where, four, third);
    AddEntry<kVectors, 3>(x, where, four, fourth);
  }
  if (at < end) {
    const auto four = LoadFour<kValue>(values, at);
    const uint64_t where = LoadOffsets(offsets + at);
    AddEntry<kVectors, 0>(x, where, four, acc);
    if (at + 1 < end) AddEntry<kVectors, 1>(x, where, four, second);
    if (at + 2 < end) AddEntry<kVectors, 2>(x, where, four, third);
  }
  ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) {
    acc[i % kVectors] = hn::Add(acc[i % kVectors], acc[i]);
  }
  FinishRow<kVectors>(c, row, column, acc);
}

// Entries of one row, from a pointer on: for PlainRows().
template <size_t kVectors>
HWY_INLINE void AddEntries(const char* x, const float* HWY_RESTRICT& values,
                           const uint16_t* HWY_RESTRICT& offsets, size_t count, SpmmVec* acc) {
  constexpr size_t kChains = ChainsOf(kVectors);
  SpmmVec* const second = acc + 1 % kChains * kVectors;
  SpmmVec* const third = acc + 2 % kChains * kVectors;
  SpmmVec* const fourth = acc + 3 % kChains * kVectors;
  for (const float* const stop = values + count / 4 * 4; values != stop;
       values += 4, offsets += 4) {
    const auto four = LoadFour<PackedValue::kFloat32>(values, 0);
    const uint64_t where = LoadOffsets(offsets);
    AddEntry<kVectors, 0>(x, where, four, acc);
    AddEntry<kVectors, 1>(x, where, four, second);
    AddEntry<kVectors, 2>(x, where, four, third);
    AddEntry<kVectors, 3>(x, where, four, fourth);
  }
  if (const size_t rest = count % 4) {
    const auto four = LoadFour<PackedValue::kFloat32>(values, 0);
    const uint64_t where = LoadOffsets(offsets);
    AddEntry<kVectors, 0>(x, where, four, acc);
    if (rest > 1) AddEntry<kVectors, 1>(x, where, four, second);
    if (rest > 2) AddEntry<kVectors, 2>(x, where, four, third);
    values += rest;
    offsets += rest;
  }
}

// Rows of one strip with the activations that need no exponential: what does not change
// from row to row stays in registers, which saves 10 cycles a row (Zen 3), 8 % at 32 entries.
template <size_t kVectors, bool kFirst, bool kLast>
void PlainRows(const SpmmRows& c) {
  constexpr size_t kChains = ChainsOf(kVectors);
  const SpmmTag d;
  const size_t lanes = hn::Lanes(d);
  const auto* const x = reinterpret_cast<const char*>(c.x);
  const uint16_t* HWY_RESTRICT offsets = c.offsets;
  const float* HWY_RESTRICT values = static_cast<const float*>(c.values);
  const float none = 0;
  const float* const bias = c.bias == nullptr ? &none : c.bias;
  const size_t bias_step = c.bias == nullptr ? 0 : 1;
  float* const partial = c.partial;
  float* const y = c.y;
  const size_t x_ld = c.x_ld;
  const size_t y_ld = c.y_ld;
  const size_t tail = HWY_MIN((kVectors - 1) * lanes, c.last_start);
  const float* const residual = c.residual;
  const size_t residual_ld = c.residual_ld;
  const Activation activation = c.activation;
  const bool swish = activation.kind == ActivationKind::kHardSwish;
  const Clamp clamp = ClampOf(activation);
  const PackedVisit* const end = c.visit_end;
  for (const PackedVisit* visit = c.visit; visit != end; ++visit) {
    const size_t row = visit->row;
    SpmmVec acc[kChains * kVectors];
    if constexpr (kFirst) {
      const auto start = hn::Set(d, bias[row * bias_step]);
      ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) acc[i] = start;
    } else {
      const float* const from = partial + row * x_ld;
      ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) acc[i] = hn::Load(d, from + i * lanes);
    }
    ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) acc[i] = hn::Zero(d);
    AddEntries<kVectors>(x, values, offsets, visit->count, acc);
    ESPALIER_UNROLL for (size_t i = kVectors; i < kChains * kVectors; ++i) {
      acc[i % kVectors] = hn::Add(acc[i % kVectors], acc[i]);
    }
    if constexpr (kLast) {
      if (residual != nullptr) {
        const float* const from = residual + row * residual_ld;
        ESPALIER_UNROLL for (size_t i = 0; i + 1 < kVectors; ++i) {
          acc[i] = hn::Add(acc[i], hn::LoadU(d, from + i * lanes));
        }
        acc[kVectors - 1] = hn::Add(acc[kVectors - 1], hn::LoadU(d, from + tail));
      }
      if (swish) {
        const auto alpha = hn::Set(d, activation.alpha);
        const auto beta = hn::Set(d, activation.beta);
        ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
          acc[i] = ActivateVector<ActivationKind::kHardSwish>(d, alpha, beta, acc[i]);
        }
      } else {
        const auto low = hn::Set(d, clamp.low);
        const auto high = hn::Set(d, clamp.high);
        ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
          acc[i] = ClampKeepingNan(low, high, acc[i]);
        }
      }
      float* const to = y + row * y_ld;
      ESPALIER_UNROLL for (size_t i = 0; i + 1 < kVectors; ++i) {
        hn::StoreU(acc[i], d, to + i * lanes);
      }
      hn::StoreU(acc[kVectors - 1], d, to + tail);
    } else {
      float* const to = partial + row * x_ld;
      ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) hn::Store(acc[i], d, to + i * lanes);
    }
  }
}

template <size_t kVectors>
void ChoosePlainRows(const SpmmRows& c) {
  if (c.first) {
    c.last ? PlainRows<kVectors, true, true>(c) : PlainRows<kVectors, true, false>(c);
  } else {
    c.last ? PlainRows<kVectors, false, true>(c) : PlainRows<kVectors, false, false>(c);
  }
}

template <size_t kVectors, PackedValue kValue>
void UnstructuredRows(const SpmmRows& c) {
  if constexpr (kValue == PackedValue::kFloat32) {
    const bool cheap =
        IsClamp(c.activation.kind) || c.activation.kind == ActivationKind::kHardSwish;
    const bool plain = c.count >= hn::Lanes(SpmmTag()) && cheap;
    if (c.strips == 1 && (plain || !c.last)) return ChoosePlainRows<kVectors>(c);
  }
  const size_t width = kVectors * hn::Lanes(SpmmTag());
  size_t at = 0;
  for (const PackedVisit* visit = c.visit; visit != c.visit_end; ++visit) {
    const size_t end = at + visit->count;
    for (size_t strip = 0; strip < c.strips; ++strip) {
      UnstructuredRow<kVectors, kValue>(c, visit->row, strip * width, at, end);
    }
    at = end;
  }
}

template <PackedValue kValue>
internal::SpmmRowsFn ChooseUnstructured(size_t vectors) {
  static constexpr internal::SpmmRowsFn kTable[] = {
      &UnstructuredRows<1, kValue>, &UnstructuredRows<2, kValue>, &UnstructuredRows<3, kValue>,
      &UnstructuredRows<4, kValue>, &UnstructuredRows<5, kValue>, &UnstructuredRows<6, kValue>,
      &UnstructuredRows<7, kValue>, &UnstructuredRows<8, kValue>, &UnstructuredRows<9, kValue>,
      &UnstructuredRows<10, kValue>};
  return kTable[vectors - 1];
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
