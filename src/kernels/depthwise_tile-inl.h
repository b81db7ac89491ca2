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

// One plane's stripe: what TilePlane and GenericPlane compute.
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
HWY_INLINE void FinishVector(D d, const DepthwiseFinish& finish, const DepthwiseStripe& stripe,
                             size_t at, size_t width, hn::Vec<D> sum) {
  const size_t lanes = hn::Lanes(d);
  if (stripe.residual != nullptr) {
    const float* residual = stripe.residual + at;
    sum = hn::Add(sum, width < lanes ? LoadFirst(d, residual, width) : hn::LoadU(d, residual));
  }
  if (finish.hard_swish) {
    const auto gate = hn::MulAdd(hn::Set(d, finish.alpha), sum, hn::Set(d, finish.beta));
    sum = hn::Mul(sum, ClampVector(d, hn::Zero(d), hn::Set(d, 1.0f), gate));
  } else {
    sum = ClampVector(d, hn::Set(d, finish.low), hn::Set(d, finish.high), sum);
  }
  float* y = stripe.y + at;
  if (HWY_LIKELY(y + lanes <= stripe.y_end)) {
    hn::StoreU(sum, d, y);
  } else {
    StoreFirst(sum, d, y, std::min(width, lanes));
  }
}

#if !HWY_HAVE_SCALABLE  // vectors of no fixed size make no arrays

// Adds input row kInput of a tile, as one kernel column sees it, to the outputs that read it.
template <int kSize, int kStride, int kInput, size_t... kRow, class V>
HWY_INLINE void AddInputRow(const V* w, V input, V* sums, std::index_sequence<kRow...>) {
  const auto add = [&](auto row) HWY_ATTR {
    constexpr int kTap = kInput - static_cast<int>(row()) * kStride;
    if constexpr (kTap >= 0 && kTap < kSize) {
      sums[row()] = hn::MulAdd(w[kTap], input, sums[row()]);
    }
  };
  (add(std::integral_constant<size_t, kRow>()), ...);
}

template <int kSize, int kStride, int kRows, size_t... kInput, class D, class V>
HWY_INLINE void AddKernelColumn(D d, const float* HWY_RESTRICT in, size_t row_stride, const V* w,
                                V* sums, std::index_sequence<kInput...>) {
  (AddInputRow<kSize, kStride, kInput>(w, hn::LoadU(d, in + kInput * row_stride), sums,
                                       std::make_index_sequence<kRows>()),
   ...);
}

// kRows output rows, `row` being the first: each input vector is loaded once for each kernel
// column and serves up to kSize rows.
template <int kSize, int kStride, int kRows, class D>
void TileRows(D d, const DepthwiseBlock& block, const DepthwiseFinish& finish,
              const DepthwiseStripe& stripe, size_t row) {
  using V = hn::Vec<D>;
  constexpr size_t kInputs = (kRows - 1) * kStride + kSize;
  const float* HWY_RESTRICT packed = stripe.packed + row * kStride * block.row_stride;
  const size_t lanes = hn::Lanes(d);
  const size_t last = block.width > lanes ? block.width - lanes : 0;
  for (size_t col = 0;; col = std::min(col + lanes, last)) {
    V sums[kRows];
    for (V& sum : sums) sum = hn::Set(d, stripe.bias);
    for (int kx = 0; kx < kSize; ++kx) {
      V w[kSize];
      for (int ky = 0; ky < kSize; ++ky) w[ky] = hn::Set(d, stripe.weights[ky * kSize + kx]);
      AddKernelColumn<kSize, kStride, kRows>(d, packed + block.offset[kx] + col, block.row_stride,
                                             w, sums, std::make_index_sequence<kInputs>());
    }
    for (size_t i = 0; i < kRows; ++i) {
      FinishVector(d, finish, stripe, (row + i) * stripe.out_w + col, block.width, sums[i]);
    }
    if (col == last) break;
  }
}

// The stripe in tiles of at most 8 rows, all about as high.
template <int kSize, int kStride, class D>
void TilePlane(D d, const DepthwiseBlock& block, const DepthwiseFinish& finish,
               const DepthwiseStripe& stripe) {
  for (size_t row = 0, tiles = (stripe.rows + 7) / 8; tiles > 0; --tiles) {
    const size_t rows = (stripe.rows - row + tiles - 1) / tiles;
    const auto tile = [&](auto height) HWY_ATTR {
      TileRows<kSize, kStride, height()>(d, block, finish, stripe, row);
    };
    switch (rows) {
      case 1:
        tile(std::integral_constant<int, 1>());
        break;
      case 2:
        tile(std::integral_constant<int, 2>());
        break;
      case 3:
        tile(std::integral_constant<int, 3>());
        break;
      case 4:
        tile(std::integral_constant<int, 4>());
        break;
      case 5:
        tile(std::integral_constant<int, 5>());
        break;
      case 6:
        tile(std::integral_constant<int, 6>());
        break;
      case 7:
        tile(std::integral_constant<int, 7>());
        break;
      default:
        tile(std::integral_constant<int, 8>());
        break;
    }
    row += rows;
  }
}

#endif  // !HWY_HAVE_SCALABLE

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
