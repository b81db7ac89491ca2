// The larger and the smaller of two vectors with one rule for NaN; included once per target, after
// hwy/highway.h.
#if defined(ESPALIER_KERNELS_SELECT_MAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_SELECT_MAX_INL_H_
#undef ESPALIER_KERNELS_SELECT_MAX_INL_H_
#else
#define ESPALIER_KERNELS_SELECT_MAX_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// a > b ? a : b, so a NaN in b stays and one in a goes. x86's maximum is just that; those of Arm
// and of Highway's emulation give the number, whichever side it is on.
template <class V>
HWY_INLINE V SelectMax(V a, V b) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Max(a, b);
#else
  return hn::IfThenElse(hn::Gt(a, b), a, b);
#endif
}

// a < b ? a : b.
template <class V>
HWY_INLINE V SelectMin(V a, V b) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Min(a, b);
#else
  return hn::IfThenElse(hn::Lt(a, b), a, b);
#endif
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
