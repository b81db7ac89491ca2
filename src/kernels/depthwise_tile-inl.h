// Sums of a plane that lies in the scratch (depthwise_layout.h); included once per target, after
// hwy/highway.h.
#if defined(ESPALIER_KERNELS_DEPTHWISE_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_DEPTHWISE_TILE_INL_H_
#undef ESPALIER_KERNELS_DEPTHWISE_TILE_INL_H_
#else
#define ESPALIER_KERNELS_DEPTHWISE_TILE_INL_H_
#endif

#include <algorithm>
#include <limits>
#include <utility>

#include "hwy/highway.h"
#include "kernels/depthwise_layout.h"
#include "kernels/depthwise_pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What is done to a vector of sums before it is stored. Clip with infinite bounds is no activation
// at all; the kinds that need more than HardSwish are applied to the stored rows afterwards.
struct DepthwiseFinish {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  bool hard_swish = false;
  float alpha = 0;
  float beta = 0;
};

// One plane's stripe: what GenericPlane computes.
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

// NaN stays NaN: x86's max and min give their second argument then, but HWY_SCALAR's the other one.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ClampVector(D, V low, V high, V x) {
#if HWY_TARGET == HWY_SCALAR
  const auto above = hn::IfThenElse(hn::Lt(x, low), low, x);
  return hn::IfThenElse(hn::Gt(above, high), high, above);
#else
  return hn::Min(high, hn::Max(low, x));
#endif
}

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
  return hn::Mul(x, ClampVector(d, hn::Zero(d), hn::Set(d, 1.0f), gate));
}

template <class D>
HWY_INLINE void FinishVector(D d, const DepthwiseFinish& finish, const DepthwiseStripe& stripe,
                             size_t at, size_t width, hn::Vec<D> sum) {
  if (stripe.residual != nullptr) sum = AddResidual(d, stripe, at, width, sum);
  sum = finish.hard_swish ? HardSwish(d, finish, sum)
                          : ClampVector(d, hn::Set(d, finish.low), hn::Set(d, finish.high), sum);
  StoreOutput(d, stripe, at, width, sum);
}

// Any kernel: four vectors of outputs at once, which may lie in different rows. The last step may
// compute the last vector more than once.
template <class D>
void GenericPlane(D d, const DepthwiseShape& shape, const DepthwiseBlock& block,
                  const DepthwiseFinish& finish, const DepthwiseStripe& stripe) {
  const size_t lanes = hn::Lanes(d);
  const size_t last = block.width > lanes ? block.width - lanes : 0;
  const size_t per_row = (block.width + lanes - 1) / lanes;
  const size_t vectors = stripe.rows * per_row;
  for (size_t vector = 0; vector < vectors; vector += 4) {
    const float* in[4];
    size_t at[4];
    for (size_t i = 0; i < 4; ++i) {
      const size_t v = std::min(vector + i, vectors - 1);
      const size_t col = std::min(v % per_row * lanes, last);
      in[i] = stripe.packed + v / per_row * shape.stride_h * block.row_stride + col;
      at[i] = v / per_row * stripe.out_w + col;
    }
    const auto bias = hn::Set(d, stripe.bias);
    auto sum0 = bias, sum1 = bias, sum2 = bias, sum3 = bias;
    const float* HWY_RESTRICT w = stripe.weights;
    for (size_t ky = 0; ky < shape.kernel_h; ++ky) {
      const auto row = static_cast<ptrdiff_t>(ky * shape.dilation_h * block.row_stride);
      for (size_t kx = 0; kx < shape.kernel_w; ++kx, ++w) {
        const ptrdiff_t offset = row + block.offset[kx];
        const auto weight = hn::Set(d, *w);
        sum0 = hn::MulAdd(weight, hn::LoadU(d, in[0] + offset), sum0);
        sum1 = hn::MulAdd(weight, hn::LoadU(d, in[1] + offset), sum1);
        sum2 = hn::MulAdd(weight, hn::LoadU(d, in[2] + offset), sum2);
        sum3 = hn::MulAdd(weight, hn::LoadU(d, in[3] + offset), sum3);
      }
    }
    FinishVector(d, finish, stripe, at[0], block.width, sum0);
    FinishVector(d, finish, stripe, at[1], block.width, sum1);
    FinishVector(d, finish, stripe, at[2], block.width, sum2);
    FinishVector(d, finish, stripe, at[3], block.width, sum3);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
