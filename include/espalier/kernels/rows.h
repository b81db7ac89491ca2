#pragma once

#include <cstddef>

#include "espalier/kernels/activation.h"

namespace espalier {

// Operations on runs of neighbouring float32 values. Pointers need no alignment. Sums run in the
// vector's lanes, so ISAs agree to rounding, not to the bit.

/// values[i] = activation(values[i] + residual[i]), in place. NaN stays NaN.
/// @param residual  Null for none.
void ActivateRow(const Activation& activation, const float* residual, float* values,
                 std::size_t count) noexcept;

/// out[i] = exp(x[i] - max) / sum of these. `x` and `out` may be the same.
void SoftmaxRow(const float* x, float* out, std::size_t count) noexcept;

/// out[i] = x[i] - max - log(sum of exp(x - max)). `x` and `out` may be the same.
void LogSoftmaxRow(const float* x, float* out, std::size_t count) noexcept;

/// Mean and variance (divided by `count`) of a row.
struct Moments {
  float mean = 0;
  float variance = 0;
};

/// In two passes, each in blocks of 4096 whose sums are added in double.
Moments RowMoments(const float* x, std::size_t count) noexcept;

/// out[i] = (x[i] - mean) * factor * scale[i] + bias[i]. `x` and `out` may be the same.
/// @param scale, bias  Null for ones, zeros.
void NormalizeRow(const float* x, float mean, float factor, const float* scale, const float* bias,
                  float* out, std::size_t count) noexcept;

/// out[i] = x[i] * scale + shift. `x` and `out` may be the same.
void ScaleRow(const float* x, float scale, float shift, float* out, std::size_t count) noexcept;

/// What a pooling window does.
enum class PoolKind : unsigned char {
  /// The largest; -infinity over nothing and outside the row. a > b ? a : b down each column, then
  /// along the columns, so that of NaNs the last element's stays: as ONNX Runtime's vectors on x86.
  kMax,
  kSum,
};

/// One row of a pooling with windows `kernel` wide: out[x] = max or sum over the rows and over
/// [x * stride - pad, x * stride - pad + kernel) of their elements; those outside the row are left
/// out.
struct PoolRowShape {
  std::size_t in = 0;   ///< Elements of an input row.
  std::size_t out = 0;  ///< Elements of the output row.
  std::size_t kernel = 1;
  std::size_t stride = 1;
  std::size_t pad = 0;  ///< In front.
};

/// Floats of working memory that PoolRow() needs.
std::size_t PoolRowScratch(const PoolRowShape& shape) noexcept;

/// @param rows     Pointers to `row_count` input rows; none gives the value over nothing.
/// @param scratch  PoolRowScratch() floats.
/// @cost  A pass over the input rows and one over the output for each of `kernel`; strides of 1 and
///        2 are vectors throughout.
void PoolRow(PoolKind kind, const PoolRowShape& shape, const float* const* rows,
             std::size_t row_count, float* scratch, float* out) noexcept;

}  // namespace espalier
