// What every SpMM row kernel does before and after its entries; included once per target.
#if defined(ESPALIER_KERNELS_SPMM_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SPMM_ROWS_INL_H_
#undef ESPALIER_KERNELS_SPMM_ROWS_INL_H_
#else
#define ESPALIER_KERNELS_SPMM_ROWS_INL_H_
#endif

#include <cstring>
#include <limits>

#include "espalier/base/dtype.h"
#include "kernels/activation-inl.h"
#include "kernels/spmm_parts.h"

#include "hwy/highway.h"

// Arrays of vectors become registers only where their loops are unrolled early.
#undef ESPALIER_UNROLL
#if HWY_COMPILER_CLANG
#define ESPALIER_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ESPALIER_UNROLL _Pragma("GCC unroll 16")
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using internal::SpmmRows;
using SpmmTag = hn::CappedTag<float, 16>;
using SpmmVec = hn::Vec<SpmmTag>;

template <ActivationKind kKind>
HWY_INLINE void ActivateAll(SpmmVec* acc, size_t count, const Activation& activation) {
  const SpmmTag d;
  const auto alpha = hn::Set(d, activation.alpha);
  const auto beta = hn::Set(d, activation.beta);
  for (size_t i = 0; i < count; ++i) acc[i] = ActivateVector<kKind>(d, alpha, beta, acc[i]);
}

// The kinds with exponentials, where a call costs little: through memory, to keep kernels small.
static HWY_NOINLINE void ActivateSlow(SpmmVec* acc, size_t count, const Activation& activation) {
  switch (activation.kind) {
    case ActivationKind::kLeakyRelu:
      return ActivateAll<ActivationKind::kLeakyRelu>(acc, count, activation);
    case ActivationKind::kHardSigmoid:
      return ActivateAll<ActivationKind::kHardSigmoid>(acc, count, activation);
    case ActivationKind::kSigmoid:
      return ActivateAll<ActivationKind::kSigmoid>(acc, count, activation);
    case ActivationKind::kSilu:
      return ActivateAll<ActivationKind::kSilu>(acc, count, activation);
    case ActivationKind::kTanh:
      return ActivateAll<ActivationKind::kTanh>(acc, count, activation);
    default:
      return;
  }
}

template <size_t kVectors>
HWY_INLINE void ActivateRow(SpmmVec* acc, const Activation& activation) {
  const SpmmTag d;
  const auto alpha = hn::Set(d, activation.alpha);
  const auto beta = hn::Set(d, activation.beta);
  // A kernel's branch on the kind is the same for all rows: predicted.
  if (activation.kind == ActivationKind::kNone) return;
  if (activation.kind == ActivationKind::kRelu) {
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
      acc[i] = ActivateVector<ActivationKind::kRelu>(d, alpha, beta, acc[i]);
    }
  } else if (activation.kind == ActivationKind::kClip) {
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
      acc[i] = ActivateVector<ActivationKind::kClip>(d, alpha, beta, acc[i]);
    }
  } else if (activation.kind == ActivationKind::kHardSwish) {
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
      acc[i] = ActivateVector<ActivationKind::kHardSwish>(d, alpha, beta, acc[i]);
    }
  } else {
    SpmmVec copy[kVectors];
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) copy[i] = acc[i];
    ActivateSlow(copy, kVectors, activation);
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) acc[i] = copy[i];
  }
}

// None, Relu and Clip as one: min(high, max(low, x)).
struct Clamp {
  float low;
  float high;
};

HWY_INLINE bool IsClamp(ActivationKind kind) {
  return kind == ActivationKind::kNone || kind == ActivationKind::kRelu ||
         kind == ActivationKind::kClip;
}

HWY_INLINE Clamp ClampOf(const Activation& activation) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (activation.kind == ActivationKind::kClip) return {activation.alpha, activation.beta};
  return {activation.kind == ActivationKind::kRelu ? 0.0f : -kInfinity, kInfinity};
}

// Sums begin at the bias or where the K block before left them.
template <size_t kVectors>
HWY_INLINE void BeginRow(const SpmmRows& c, size_t row, size_t column, SpmmVec* acc) {
  const SpmmTag d;
  if (c.first) {
    const auto bias = hn::Set(d, c.bias == nullptr ? 0.0f : c.bias[row]);
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) acc[i] = bias;
  } else {
    const float* HWY_RESTRICT from = c.partial + row * c.x_ld + column;
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) {
      acc[i] = hn::Load(d, from + i * hn::Lanes(d));
    }
  }
}

// Fewer pixels than lanes: only these floats of residual and y are touched.
[[maybe_unused]] static HWY_NOINLINE void FinishShortRow(const SpmmRows& c, size_t row,
                                                         SpmmVec* sum) {
  const SpmmTag d;
  HWY_ALIGN float lanes[hn::MaxLanes(SpmmTag())] = {};
  if (c.residual != nullptr) {
    std::memcpy(lanes, c.residual + row * c.residual_ld, c.count * sizeof(float));
    *sum = hn::Add(*sum, hn::Load(d, lanes));
  }
  ActivateRow<1>(sum, c.activation);
  hn::Store(*sum, d, lanes);
  std::memcpy(c.y + row * c.y_ld, lanes, c.count * sizeof(float));
}

// Residual, activation and store. The last vector overlaps the one before, so all of the residual
// is read before anything is written: it may be y itself.
template <size_t kVectors>
HWY_INLINE void FinishRow(const SpmmRows& c, size_t row, size_t column, SpmmVec* acc) {
  const SpmmTag d;
  const size_t lanes = hn::Lanes(d);
  if (!c.last) {
    float* HWY_RESTRICT to = c.partial + row * c.x_ld + column;
    ESPALIER_UNROLL for (size_t i = 0; i < kVectors; ++i) hn::Store(acc[i], d, to + i * lanes);
    return;
  }
  if constexpr (kVectors == 1) {
    if (c.count < lanes) {
      SpmmVec sum = acc[0];
      FinishShortRow(c, row, &sum);
      return;
    }
  }
  const size_t last_full = column + (kVectors - 1) * lanes;
  const size_t last = last_full < c.last_start ? (kVectors - 1) * lanes : c.last_start - column;
  if (c.residual != nullptr) {
    const float* from = c.residual + row * c.residual_ld + column;
    ESPALIER_UNROLL for (size_t i = 0; i + 1 < kVectors; ++i) {
      acc[i] = hn::Add(acc[i], hn::LoadU(d, from + i * lanes));
    }
    acc[kVectors - 1] = hn::Add(acc[kVectors - 1], hn::LoadU(d, from + last));
  }
  ActivateRow<kVectors>(acc, c.activation);
  float* to = c.y + row * c.y_ld + column;
  ESPALIER_UNROLL for (size_t i = 0; i + 1 < kVectors; ++i) hn::StoreU(acc[i], d, to + i * lanes);
  hn::StoreU(acc[kVectors - 1], d, to + last);
}

#if HWY_TARGET == HWY_SCALAR
template <PackedValue kValue>
struct FourWeights {
  const void* values;
  size_t index;
};

template <PackedValue kValue>
HWY_INLINE FourWeights<kValue> LoadFour(const void* values, size_t index) {
  return {values, index};
}

template <int kJ, PackedValue kValue>
HWY_INLINE SpmmVec WeightOf(FourWeights<kValue> four) {
  const SpmmTag d;
  const size_t at = four.index + kJ;
  if constexpr (kValue == PackedValue::kFloat32) {
    return hn::Set(d, static_cast<const float*>(four.values)[at]);
  } else if constexpr (kValue == PackedValue::kFloat16) {
    return hn::Set(d, HalfToFloat(static_cast<const uint16_t*>(four.values)[at]));
  } else {
    return hn::Set(d, BFloat16ToFloat(static_cast<const uint16_t*>(four.values)[at]));
  }
}
#else
// Four weights, repeated in every 128-bit block of the vector.
template <class D>
HWY_INLINE hn::Vec<D> RepeatBlock(D /*d*/, hn::Vec<hn::FixedTag<float, 4>> four) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    return four;
  } else {
    const D d;
    const hn::Half<D> dh;
    const auto half = RepeatBlock(dh, four);
    return hn::Combine(d, half, half);
  }
}

template <PackedValue kValue>
HWY_INLINE SpmmVec LoadFour(const void* values, size_t index) {
  const SpmmTag d;
  if constexpr (kValue == PackedValue::kFloat32) {
    return hn::LoadDup128(d, static_cast<const float*>(values) + index);
  } else {
    const hn::FixedTag<float, 4> d4;
    const hn::FixedTag<uint16_t, 4> d16;
    const auto bits = hn::LoadU(d16, static_cast<const uint16_t*>(values) + index);
    if constexpr (kValue == PackedValue::kFloat16) {
      const hn::FixedTag<hwy::float16_t, 4> half;
      return RepeatBlock(d, hn::PromoteTo(d4, hn::BitCast(half, bits)));
    } else {
      const hn::FixedTag<uint32_t, 4> d32;
      const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(d32, bits));
      return RepeatBlock(d, hn::BitCast(d4, wide));
    }
  }
}

template <int kJ>
HWY_INLINE SpmmVec WeightOf(SpmmVec four) {
  return hn::Broadcast<kJ>(four);
}
#endif

// One weight in all lanes.
template <PackedValue kValue>
HWY_INLINE SpmmVec WeightAt(const void* values, size_t index) {
  if constexpr (kValue == PackedValue::kFloat32) {
    return hn::Set(SpmmTag(), static_cast<const float*>(values)[index]);
  } else {
    return WeightOf<0>(LoadFour<kValue>(values, index));
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
