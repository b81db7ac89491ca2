#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activate_row.cc"
#include "espalier/kernels/rows.h"
#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <ActivationKind kKind>
void ActivateAll(const Activation& activation, const float* HWY_RESTRICT residual,
                 float* HWY_RESTRICT values, size_t count) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  const auto step = [&](auto tag) HWY_ATTR {
    auto x = hn::LoadU(tag, values + i);
    if (residual != nullptr) x = hn::Add(x, hn::LoadU(tag, residual + i));
    hn::StoreU(ActivateVector<kKind>(tag, hn::Set(tag, activation.alpha),
                                     hn::Set(tag, activation.beta), x),
               tag, values + i);
  };
  for (; i + lanes <= count; i += lanes) step(d);
  for (; i < count; ++i) step(one);
}

void ActivateRowKernel(const Activation& activation, const float* residual, float* values,
                       size_t count) {
  switch (activation.kind) {
    case ActivationKind::kNone:
      return ActivateAll<ActivationKind::kNone>(activation, residual, values, count);
    case ActivationKind::kRelu:
      return ActivateAll<ActivationKind::kRelu>(activation, residual, values, count);
    case ActivationKind::kClip:
      return ActivateAll<ActivationKind::kClip>(activation, residual, values, count);
    case ActivationKind::kLeakyRelu:
      return ActivateAll<ActivationKind::kLeakyRelu>(activation, residual, values, count);
    case ActivationKind::kHardSigmoid:
      return ActivateAll<ActivationKind::kHardSigmoid>(activation, residual, values, count);
    case ActivationKind::kHardSwish:
      return ActivateAll<ActivationKind::kHardSwish>(activation, residual, values, count);
    case ActivationKind::kSigmoid:
      return ActivateAll<ActivationKind::kSigmoid>(activation, residual, values, count);
    case ActivationKind::kSilu:
      return ActivateAll<ActivationKind::kSilu>(activation, residual, values, count);
    case ActivationKind::kTanh:
      return ActivateAll<ActivationKind::kTanh>(activation, residual, values, count);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(ActivateRowKernel);

void ActivateRow(const Activation& activation, const float* residual, float* values,
                 std::size_t count) noexcept {
  if (activation.kind == ActivationKind::kNone && residual == nullptr) return;
  HWY_DYNAMIC_DISPATCH(ActivateRowKernel)(activation, residual, values, count);
}

}  // namespace espalier
#endif  // HWY_ONCE
