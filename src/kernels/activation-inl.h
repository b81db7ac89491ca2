// Activations on Highway vectors; included once per target, after hwy/highway.h.
#if defined(ESPALIER_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_ACTIVATION_INL_H_
#undef ESPALIER_KERNELS_ACTIVATION_INL_H_
#else
#define ESPALIER_KERNELS_ACTIVATION_INL_H_
#endif

#include "espalier/kernels/activation.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/select_max-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// min(high, max(low, x)); NaN stays NaN.
template <class V>
HWY_INLINE V ClampKeepingNan(V low, V high, V x) {
  return SelectMin(high, SelectMax(low, x));
}

// e^-x for a denominator: Highway's Exp gives any number beyond 104, where e^x is infinite
// from 88.8 on, and 0 for NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpOfNegative(D d, V x) {
  return hn::Exp(d, hn::Min(hn::Set(d, 104.0f), hn::Neg(x)));
}

// The kind is a template parameter: kernels switch on it once a call, not once a vector. NaN stays
// NaN.
template <ActivationKind kKind, class D, class V = hn::Vec<D>>
HWY_INLINE V ActivateVector(D d, V alpha, V beta, V x) {
  const auto zero = hn::Zero(d);
  const auto one = hn::Set(d, 1.0f);
  if constexpr (kKind == ActivationKind::kNone) {
    return x;
  } else if constexpr (kKind == ActivationKind::kRelu) {
    return SelectMax(zero, x);
  } else if constexpr (kKind == ActivationKind::kClip) {
    return ClampKeepingNan(alpha, beta, x);
  } else if constexpr (kKind == ActivationKind::kLeakyRelu) {
    return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, x), x);
  } else if constexpr (kKind == ActivationKind::kHardSigmoid) {
    return ClampKeepingNan(zero, one, hn::MulAdd(alpha, x, beta));
  } else if constexpr (kKind == ActivationKind::kHardSwish) {
    return hn::Mul(x, ClampKeepingNan(zero, one, hn::MulAdd(alpha, x, beta)));
  } else if constexpr (kKind == ActivationKind::kSigmoid) {
    const auto gate = hn::Div(one, hn::Add(one, ExpOfNegative(d, x)));
    return hn::IfThenElse(hn::IsNaN(x), x, gate);
  } else if constexpr (kKind == ActivationKind::kSilu) {
    return hn::Div(x, hn::Add(one, ExpOfNegative(d, x)));
  } else {
    return hn::Tanh(d, x);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
