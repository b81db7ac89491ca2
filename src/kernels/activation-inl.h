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

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The kind is a template parameter: kernels switch on it once a call, not once a vector.
// x86's max(a, b) gives b if either is NaN, so x comes second and its NaN stays.
template <ActivationKind kKind, class D, class V = hn::Vec<D>>
HWY_INLINE V ActivateVector(D d, V alpha, V beta, V x) {
  const auto zero = hn::Zero(d);
  const auto one = hn::Set(d, 1.0f);
  if constexpr (kKind == ActivationKind::kNone) {
    return x;
  } else if constexpr (kKind == ActivationKind::kRelu) {
    return hn::Max(zero, x);
  } else if constexpr (kKind == ActivationKind::kClip) {
    return hn::Min(beta, hn::Max(alpha, x));
  } else if constexpr (kKind == ActivationKind::kLeakyRelu) {
    return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, x), x);
  } else if constexpr (kKind == ActivationKind::kHardSigmoid) {
    return hn::Min(one, hn::Max(zero, hn::MulAdd(alpha, x, beta)));
  } else if constexpr (kKind == ActivationKind::kHardSwish) {
    return hn::Mul(x, hn::Min(one, hn::Max(zero, hn::MulAdd(alpha, x, beta))));
  } else if constexpr (kKind == ActivationKind::kSigmoid) {
    return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(x))));
  } else if constexpr (kKind == ActivationKind::kSilu) {
    return hn::Div(x, hn::Add(one, hn::Exp(d, hn::Neg(x))));
  } else {
    return hn::Tanh(d, x);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
