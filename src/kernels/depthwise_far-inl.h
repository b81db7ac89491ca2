// Kernels whose taps lie too far apart for the scratch; included once per target, after
// hwy/highway.h.
#if defined(ESPALIER_KERNELS_DEPTHWISE_FAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_DEPTHWISE_FAR_INL_H_
#undef ESPALIER_KERNELS_DEPTHWISE_FAR_INL_H_
#else
#define ESPALIER_KERNELS_DEPTHWISE_FAR_INL_H_
#endif

#include <algorithm>

#include "espalier/kernels/depthwise.h"
#include "hwy/highway.h"
#include "kernels/depthwise_finish-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kFarColumns = 256;  // output columns whose sums are kept in L1

// One kernel column's inputs of `width` outputs, the first of which reads column `first`.
inline void GatherColumn(const float* HWY_RESTRICT row, ptrdiff_t in_w, ptrdiff_t first,
                         ptrdiff_t stride, size_t width, float* HWY_RESTRICT to) {
  for (size_t i = 0; i < width; ++i) {
    const ptrdiff_t col = first + static_cast<ptrdiff_t>(i) * stride;
    to[i] = col >= 0 && col < in_w ? row[col] : 0.0f;
  }
}

// Adds all taps of output row `row` to sums[0, width): one pass over the sums for each tap.
template <class D>
void AddFarTaps(D d, const DepthwiseShape& shape, const float* HWY_RESTRICT weights,
                const DepthwiseInput& input, const float* x, size_t row, size_t col, size_t width,
                float* HWY_RESTRICT sums) {
  HWY_ALIGN float gathered[kFarColumns] = {};
  const auto begin = static_cast<ptrdiff_t>(input.row_begin);
  const auto end = std::min<ptrdiff_t>(begin + static_cast<ptrdiff_t>(input.rows), shape.in_h);
  for (size_t ky = 0; ky < shape.kernel_h; ++ky) {
    const auto iy = static_cast<ptrdiff_t>(row * shape.stride_h + ky * shape.dilation_h) -
                    static_cast<ptrdiff_t>(shape.pad_top);
    if (iy < begin || iy >= end) continue;
    const float* from = x + static_cast<size_t>(iy - begin) * shape.in_w;
    for (size_t kx = 0; kx < shape.kernel_w; ++kx) {
      const auto first = static_cast<ptrdiff_t>(col * shape.stride_w + kx * shape.dilation_w) -
                         static_cast<ptrdiff_t>(shape.pad_left);
      GatherColumn(from, shape.in_w, first, shape.stride_w, width, gathered);
      const auto weight = hn::Set(d, weights[ky * shape.kernel_w + kx]);
      for (size_t i = 0; i < width; i += hn::Lanes(d)) {
        const auto sum = hn::MulAdd(weight, hn::Load(d, gathered + i), hn::Load(d, sums + i));
        hn::Store(sum, d, sums + i);
      }
    }
  }
}

// The activations of FinishVector are applied, others are left to the caller.
template <class D>
void ComputeFarTaps(D d, const DepthwiseShape& shape, const DepthwiseWeights& weights,
                    const DepthwiseInput& input, const DepthwiseOutput& output,
                    const DepthwiseRange& range, const DepthwiseFinish& finish) {
  HWY_ALIGN float sums[kFarColumns];
  for (size_t c = range.channel_begin; c < range.channel_end; ++c) {
    const float* w = weights.weights + c * shape.kernel_h * shape.kernel_w;
    const float* x = input.x + c / shape.multiplier * input.plane_stride;
    DepthwiseStripe stripe;
    stripe.y = output.y + c * output.plane_stride;
    stripe.y_end = stripe.y;  // vectors at the end of a row are stored exactly
    if (output.residual != nullptr) {
      stripe.residual = output.residual + c * output.residual_plane_stride;
    }
    for (size_t row = range.row_begin; row < range.row_end; ++row) {
      for (size_t col = 0; col < shape.out_w; col += kFarColumns) {
        const size_t width = std::min(kFarColumns, shape.out_w - col);
        std::fill_n(sums, kFarColumns, weights.bias == nullptr ? 0.0f : weights.bias[c]);
        AddFarTaps(d, shape, w, input, x, row, col, width, sums);
        const size_t at = (row - range.row_begin) * shape.out_w + col;
        for (size_t i = 0; i < width; i += hn::Lanes(d)) {
          FinishVector(d, finish, stripe, at + i, width - i, hn::Load(d, sums + i));
        }
      }
    }
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
