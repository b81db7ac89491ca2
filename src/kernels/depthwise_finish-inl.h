// What depthwise kernels do to their sums, and vectors at the end of a row; included once per
// target, after hwy/highway.h.
#if defined(ESPALIER_KERNELS_DEPTHWISE_FINISH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_DEPTHWISE_FINISH_INL_H_
#undef ESPALIER_KERNELS_DEPTHWISE_FINISH_INL_H_
#else
#define ESPALIER_KERNELS_DEPTHWISE_FINISH_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <limits>

#include "espalier/kernels/depthwise.h"
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Reads `count` floats, 1 to all lanes, and no more; the other lanes are zero.
template <class D>
HWY_INLINE hn::Vec<D> LoadFirst(D d, const float* HWY_RESTRICT from, size_t count) {
#if HWY_TARGET <= HWY_AVX2 || HWY_HAVE_SCALABLE
  return hn::MaskedLoad(hn::FirstN(d, count), d, from);
#else  // a masked load reads the whole vector there
  HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return hn::Load(d, lanes);
#endif
}

// Writes the first `count` lanes and no more. Not a masked store below AVX-512: on Zen 2 and 3 it
// takes as long as a dozen stores.
template <class D>
HWY_INLINE void StoreFirst(hn::Vec<D> v, D d, float* HWY_RESTRICT to, size_t count) {
#if HWY_TARGET <= HWY_AVX3 || HWY_HAVE_SCALABLE
  hn::BlendedStore(v, hn::FirstN(d, count), d, to);
#else
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  if (hn::MaxLanes(d) >= 4 && count >= 4) {  // whole quads, the last one over the one before
    for (size_t i = 0; i + 4 < count; i += 4) std::memcpy(to + i, lanes + i, 16);
    std::memcpy(to + count - 4, lanes + count - 4, 16);
  } else {
    for (size_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
#endif
}

// What is done to a vector of sums before it is stored. Clip with infinite bounds is no activation
// at all; the kinds that need more than HardSwish are applied to the stored rows afterwards.
struct DepthwiseFinish {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  bool hard_swish = false;
  float alpha = 0;
  float beta = 0;
};

inline DepthwiseFinish MakeFinish(const Activation& activation) {
  DepthwiseFinish finish;
  finish.alpha = activation.alpha;
  finish.beta = activation.beta;
  finish.hard_swish = activation.kind == ActivationKind::kHardSwish;
  if (activation.kind == ActivationKind::kRelu) finish.low = 0;
  if (activation.kind == ActivationKind::kClip) {
    finish.low = activation.alpha;
    finish.high = activation.beta;
  }
  return finish;
}

// Where the sums of one plane's rows go, and what makes them.
struct DepthwiseStripe {
  const float* packed = nullptr;  // row of the first kernel row of the first output row
  const float* weights = nullptr;
  float bias = 0;
  const float* residual = nullptr;  // laid out as y
  float* y = nullptr;               // the first output row, at the block's first column
  const float* y_end = nullptr;     // behind the last output row of the call
  size_t rows = 0;
  size_t out_w = 0;
};

// Rows are stored in order, so a vector wider than the row may run into the next ones, which are
// written after it; only where the call's own rows end, it must stop.
template <class D>
HWY_INLINE void StoreOutput(D d, const DepthwiseStripe& stripe, size_t at, size_t width,
                            hn::Vec<D> v) {
  const size_t lanes = hn::Lanes(d);
  float* y = stripe.y + at;
  if (HWY_LIKELY(y + lanes <= stripe.y_end)) {
    hn::StoreU(v, d, y);
  } else {
    StoreFirst(v, d, y, std::min(width, lanes));
  }
}

template <class D>
HWY_INLINE hn::Vec<D> AddResidual(D d, const DepthwiseStripe& stripe, size_t at, size_t width,
                                  hn::Vec<D> sum) {
  const float* residual = stripe.residual + at;
  if (width < hn::Lanes(d)) return hn::Add(sum, LoadFirst(d, residual, width));
  return hn::Add(sum, hn::LoadU(d, residual));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V HardSwish(D d, const DepthwiseFinish& finish, V x) {
  const auto gate = hn::MulAdd(hn::Set(d, finish.alpha), x, hn::Set(d, finish.beta));
  return hn::Mul(x, ClampKeepingNan(hn::Zero(d), hn::Set(d, 1.0f), gate));
}

template <class D>
HWY_INLINE void FinishVector(D d, const DepthwiseFinish& finish, const DepthwiseStripe& stripe,
                             size_t at, size_t width, hn::Vec<D> sum) {
  if (stripe.residual != nullptr) sum = AddResidual(d, stripe, at, width, sum);
  sum = finish.hard_swish ? HardSwish(d, finish, sum)
                          : ClampKeepingNan(hn::Set(d, finish.low), hn::Set(d, finish.high), sum);
  StoreOutput(d, stripe, at, width, sum);
}

template <ActivationKind kKind, class D>
void ActivateRows(D d, const Activation& activation, float* y, size_t rows, size_t width,
                  size_t out_w) {
  const size_t lanes = hn::Lanes(d);
  const auto alpha = hn::Set(d, activation.alpha), beta = hn::Set(d, activation.beta);
  for (; rows > 0; --rows, y += out_w) {
    size_t col = 0;
    for (; col + lanes <= width; col += lanes) {
      hn::StoreU(ActivateVector<kKind>(d, alpha, beta, hn::LoadU(d, y + col)), d, y + col);
    }
    if (col == width) continue;
    const auto rest = LoadFirst(d, y + col, width - col);
    StoreFirst(ActivateVector<kKind>(d, alpha, beta, rest), d, y + col, width - col);
  }
}

// The kinds that FinishVector leaves.
template <class D>
void ActivateRows(D d, const Activation& activation, float* y, size_t rows, size_t width,
                  size_t out_w) {
  using enum ActivationKind;
  switch (activation.kind) {
    case kNone:
    case kRelu:
    case kClip:
    case kHardSwish:
      return;
    case kLeakyRelu:
      return ActivateRows<kLeakyRelu>(d, activation, y, rows, width, out_w);
    case kHardSigmoid:
      return ActivateRows<kHardSigmoid>(d, activation, y, rows, width, out_w);
    case kSigmoid:
      return ActivateRows<kSigmoid>(d, activation, y, rows, width, out_w);
    case kSilu:
      return ActivateRows<kSilu>(d, activation, y, rows, width, out_w);
    case kTanh:
      return ActivateRows<kTanh>(d, activation, y, rows, width, out_w);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
