#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/spmm_columns.cc"
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#include "kernels/spmm_parts.h"

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/spmm_columns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

internal::SpmmRowsFn ChooseColumnRows(PackedValue value, size_t vectors) {
  if (value == PackedValue::kFloat16) return ChooseColumns<PackedValue::kFloat16>(vectors);
  if (value == PackedValue::kBFloat16) return ChooseColumns<PackedValue::kBFloat16>(vectors);
  return ChooseColumns<PackedValue::kFloat32>(vectors);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(ChooseColumnRows);

internal::SpmmRowsFn internal::ChooseSpmmColumns(PackedValue value, std::size_t vectors) noexcept {
  return HWY_DYNAMIC_DISPATCH(ChooseColumnRows)(value, vectors);
}

}  // namespace espalier
#endif  // HWY_ONCE
