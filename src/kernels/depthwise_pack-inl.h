// Copies of input rows to the scratch (depthwise_layout.h); included once per target, after
// hwy/highway.h.
#if defined(ESPALIER_KERNELS_DEPTHWISE_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_DEPTHWISE_PACK_INL_H_
#undef ESPALIER_KERNELS_DEPTHWISE_PACK_INL_H_
#else
#define ESPALIER_KERNELS_DEPTHWISE_PACK_INL_H_
#endif

#include <algorithm>

#include "hwy/highway.h"
#include "kernels/depthwise_finish-inl.h"
#include "kernels/depthwise_layout.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The three below write each row's first block.count elements, in its phases; beside them only
// zeros, and those only up to the end of the last vector.
template <class D>
void PackPlain(D d, const DepthwiseBlock& block, const float* HWY_RESTRICT from, size_t in_w,
               size_t rows, float* HWY_RESTRICT to) {
  const size_t lanes = hn::Lanes(d);
  const size_t rest = block.count % lanes, whole = block.count - rest;
  for (; rows > 0; --rows, from += in_w, to += block.row_stride) {
    for (size_t i = 0; i < whole; i += lanes) hn::Store(hn::LoadU(d, from + i), d, to + i);
    if (rest != 0) hn::Store(LoadFirst(d, from + whole, rest), d, to + whole);
  }
}

#if HWY_TARGET != HWY_SCALAR  // which has no ConcatEven
template <class D>
void PackTwoPhases(D d, const DepthwiseBlock& block, const float* HWY_RESTRICT from, size_t in_w,
                   size_t rows, float* HWY_RESTRICT to) {
  const size_t lanes = hn::Lanes(d);
  const size_t rest = block.count % (2 * lanes), whole = block.count - rest;
  const auto store = [&](hn::Vec<D> low, hn::Vec<D> high, size_t at) HWY_ATTR {
    hn::Store(hn::ConcatEven(d, high, low), d, to + at);
    hn::Store(hn::ConcatOdd(d, high, low), d, to + block.phase_stride + at);
  };
  for (; rows > 0; --rows, from += in_w, to += block.row_stride) {
    for (size_t i = 0; i < whole; i += 2 * lanes) {
      store(hn::LoadU(d, from + i), hn::LoadU(d, from + i + lanes), i / 2);
    }
    if (rest > lanes) {
      store(hn::LoadU(d, from + whole), LoadFirst(d, from + whole + lanes, rest - lanes),
            whole / 2);
    } else if (rest > 0) {
      store(LoadFirst(d, from + whole, rest), hn::Zero(d), whole / 2);
    }
  }
}
#endif

inline void PackPhases(const DepthwiseBlock& block, const float* HWY_RESTRICT from, size_t in_w,
                       size_t stride, size_t rows, float* HWY_RESTRICT to) {
  for (; rows > 0; --rows, from += in_w, to += block.row_stride) {
    for (size_t phase = 0; phase < std::min(stride, block.count); ++phase) {
      float* HWY_RESTRICT phase_to = to + phase * block.phase_stride;
      for (size_t i = phase; i < block.count; i += stride) *phase_to++ = from[i];
    }
  }
}

// Rows of the input, the first at x, to as many rows of the scratch.
template <class D>
HWY_INLINE void PackInputRows(D d, const DepthwiseBlock& block, const DepthwiseShape& shape,
                              const float* HWY_RESTRICT x, size_t rows, float* HWY_RESTRICT to) {
  const float* HWY_RESTRICT from = x + block.first;
  if (shape.stride_w == 1) return PackPlain(d, block, from, shape.in_w, rows, to);
#if HWY_TARGET != HWY_SCALAR
  if (shape.stride_w == 2) return PackTwoPhases(d, block, from, shape.in_w, rows, to);
#endif
  PackPhases(block, from, shape.in_w, shape.stride_w, rows, to);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
