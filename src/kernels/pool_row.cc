#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool_row.cc"
#include <algorithm>
#include <limits>

#include "espalier/kernels/rows.h"
#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/select_max-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;

struct MaxOf {
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return SelectMax(a, b);
  }
  static float Scalar(float a, float b) { return a > b ? a : b; }
};

struct SumOf {
  static constexpr float kNothing = 0;
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Add(a, b);
  }
  static float Scalar(float a, float b) { return a + b; }
};

// column[x] = all rows at x.
template <class Op>
HWY_INLINE void ReduceRows(const float* const* rows, size_t row_count, size_t count,
                           float* HWY_RESTRICT column) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t x = 0;
  for (; x + lanes <= count; x += lanes) {
    auto sum = hn::LoadU(d, rows[0] + x);
    for (size_t r = 1; r < row_count; ++r) sum = Op()(sum, hn::LoadU(d, rows[r] + x));
    hn::StoreU(sum, d, column + x);
  }
  for (; x < count; ++x) {
    float sum = rows[0][x];
    for (size_t r = 1; r < row_count; ++r) sum = Op::Scalar(sum, rows[r][x]);
    column[x] = sum;
  }
}

// Windows over a row with its padding. `x`: the first output that is not done.
template <class Op>
HWY_INLINE void ReduceRest(const PoolRowShape& shape, size_t x, const float* HWY_RESTRICT column,
                           float* HWY_RESTRICT out) {
  for (; x < shape.out; ++x) {
    const float* window = column + x * shape.stride;
    float sum = window[0];
    for (size_t k = 1; k < shape.kernel; ++k) sum = Op::Scalar(sum, window[k]);
    out[x] = sum;
  }
}

template <class Op>
HWY_INLINE size_t ReduceStride1(const PoolRowShape& shape, const float* HWY_RESTRICT column,
                                float* HWY_RESTRICT out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t x = 0;
  for (; x + lanes <= shape.out; x += lanes) {
    auto sum = hn::LoadU(d, column + x);
    for (size_t k = 1; k < shape.kernel; ++k) sum = Op()(sum, hn::LoadU(d, column + x + k));
    hn::StoreU(sum, d, out + x);
  }
  return x;
}

template <class Op>
HWY_INLINE size_t ReduceStride2(const PoolRowShape& shape, const float* HWY_RESTRICT column,
                                float* HWY_RESTRICT out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t x = 0;
  for (; x + lanes <= shape.out; x += lanes) {
    hn::Vec<Tag> sum = hn::Set(d, Op::kNothing), even, odd;
    for (size_t k = 0; k < shape.kernel; k += 2) {  // loads reach one past the last window
      hn::LoadInterleaved2(d, column + 2 * x + k, even, odd);
      sum = Op()(sum, even);
      if (k + 1 < shape.kernel) sum = Op()(sum, odd);
    }
    hn::StoreU(sum, d, out + x);
  }
  return x;
}

template <class Op>
HWY_INLINE void PoolOneRow(const PoolRowShape& shape, const float* const* rows, size_t row_count,
                           float* HWY_RESTRICT scratch, float* HWY_RESTRICT out) {
  const size_t width = PoolRowScratch(shape);
  const size_t front = std::min(shape.pad, width);
  const size_t inside = std::min(shape.in, width - front);
  std::fill(scratch, scratch + front, Op::kNothing);
  if (row_count == 0) {
    std::fill(scratch + front, scratch + front + inside, Op::kNothing);
  } else {
    ReduceRows<Op>(rows, row_count, inside, scratch + front);
  }
  std::fill(scratch + front + inside, scratch + width, Op::kNothing);
  size_t x = 0;
  if (shape.stride == 1) x = ReduceStride1<Op>(shape, scratch, out);
  if (shape.stride == 2) x = ReduceStride2<Op>(shape, scratch, out);
  ReduceRest<Op>(shape, x, scratch, out);
}

void PoolRowKernel(PoolKind kind, const PoolRowShape& shape, const float* const* rows,
                   size_t row_count, float* scratch, float* out) {
  if (kind == PoolKind::kMax) {
    PoolOneRow<MaxOf>(shape, rows, row_count, scratch, out);
  } else {
    PoolOneRow<SumOf>(shape, rows, row_count, scratch, out);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(PoolRowKernel);

std::size_t PoolRowScratch(const PoolRowShape& shape) noexcept {
  if (shape.out == 0) return 0;
  return (shape.out - 1) * shape.stride + shape.kernel + 1;
}

void PoolRow(PoolKind kind, const PoolRowShape& shape, const float* const* rows,
             std::size_t row_count, float* scratch, float* out) noexcept {
  HWY_DYNAMIC_DISPATCH(PoolRowKernel)(kind, shape, rows, row_count, scratch, out);
}

}  // namespace espalier
#endif  // HWY_ONCE
