#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/spmm_tokens.cc"
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#include "kernels/spmm_parts.h"

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/activation-inl.h"
#include "kernels/spmm_transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using internal::SpmmTokens;
template <ActivationKind kKind>
HWY_INLINE void StoreOne(const SpmmTokens& c, size_t pixel, size_t row, float sum) {
  const hn::CappedTag<float, 1> d;
  if (c.residual != nullptr) sum += c.residual[pixel * c.residual_ld + row];
  const auto alpha = hn::Set(d, c.activation.alpha);
  const auto beta = hn::Set(d, c.activation.beta);
  const auto result = ActivateVector<kKind>(d, alpha, beta, hn::Set(d, sum));
  c.y[pixel * c.y_ld + row] = hn::GetLane(result);
}

#if HWY_TARGET != HWY_SCALAR
using TokenTag = hn::FixedTag<float, 4>;
using TokenVec = hn::Vec<TokenTag>;

// Four rows of one pixel.
template <ActivationKind kKind>
HWY_INLINE void StoreFour(const SpmmTokens& c, size_t pixel, size_t row, TokenVec sum) {
  const TokenTag d;
  if (c.residual != nullptr) {
    sum = hn::Add(sum, hn::LoadU(d, c.residual + pixel * c.residual_ld + row));
  }
  const auto alpha = hn::Set(d, c.activation.alpha);
  const auto beta = hn::Set(d, c.activation.beta);
  hn::StoreU(ActivateVector<kKind>(d, alpha, beta, sum), d, c.y + pixel * c.y_ld + row);
}

// Columns [column, column + 4) of four rows of the tile are pixels [pixel, pixel + 4).
template <ActivationKind kKind>
HWY_INLINE void StoreFourByFour(const SpmmTokens& c, size_t column, size_t pixel, size_t row) {
  TokenVec rows[4];
  LoadTransposedFour(c.tile + row * c.ld + column, c.ld, rows);
  for (size_t i = 0; i < 4; ++i) StoreFour<kKind>(c, pixel + i, row, rows[i]);
}
#endif

// Each pixel once, although the last vector overlaps the one before: the residual may be y.
template <ActivationKind kKind>
void StoreTokens(const SpmmTokens& c) {
  const size_t lanes = hn::Lanes(hn::CappedTag<float, 16>());
  const size_t middle = (c.vectors - 1) * lanes;
  const size_t rows4 = c.rows / 4 * 4;
  for (size_t pixel = 0; pixel < c.count;) {
    const size_t column = pixel < middle ? pixel : middle + pixel - c.last_start;
    const size_t wide = lanes >= 4 && pixel + 4 <= c.count ? 4 : 1;
    const size_t tiled_rows = wide == 4 ? rows4 : 0;
#if HWY_TARGET != HWY_SCALAR
    for (size_t row = 0; row < tiled_rows; row += 4) StoreFourByFour<kKind>(c, column, pixel, row);
#endif
    for (size_t i = 0; i < wide; ++i) {
      for (size_t row = tiled_rows; row < c.rows; ++row) {
        StoreOne<kKind>(c, pixel + i, row, c.tile[row * c.ld + column + i]);
      }
    }
    pixel += wide;
  }
}

internal::SpmmTokensFn ChooseTokens(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kNone:
      return &StoreTokens<ActivationKind::kNone>;
    case ActivationKind::kRelu:
      return &StoreTokens<ActivationKind::kRelu>;
    case ActivationKind::kClip:
      return &StoreTokens<ActivationKind::kClip>;
    case ActivationKind::kLeakyRelu:
      return &StoreTokens<ActivationKind::kLeakyRelu>;
    case ActivationKind::kHardSigmoid:
      return &StoreTokens<ActivationKind::kHardSigmoid>;
    case ActivationKind::kHardSwish:
      return &StoreTokens<ActivationKind::kHardSwish>;
    case ActivationKind::kSigmoid:
      return &StoreTokens<ActivationKind::kSigmoid>;
    case ActivationKind::kSilu:
      return &StoreTokens<ActivationKind::kSilu>;
    case ActivationKind::kTanh:
      return &StoreTokens<ActivationKind::kTanh>;
  }
  return &StoreTokens<ActivationKind::kNone>;
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(ChooseTokens);

internal::SpmmTokensFn internal::ChooseSpmmTokens(ActivationKind kind) noexcept {
  return HWY_DYNAMIC_DISPATCH(ChooseTokens)(kind);
}

}  // namespace espalier
#endif  // HWY_ONCE
