#pragma once

#include <cstddef>
#include <cstdint>

#include "espalier/kernels/activation.h"

namespace espalier {

/// The sizes of a depthwise convolution. Padding is zeros; how much there is below and on the right
/// follows from out_h and out_w, which may be anything.
struct DepthwiseShape {
  std::uint32_t in_h = 0;
  std::uint32_t in_w = 0;
  std::uint32_t out_h = 0;
  std::uint32_t out_w = 0;
  std::uint32_t kernel_h = 1;
  std::uint32_t kernel_w = 1;
  std::uint32_t stride_h = 1;
  std::uint32_t stride_w = 1;
  std::uint32_t dilation_h = 1;
  std::uint32_t dilation_w = 1;
  std::uint32_t pad_top = 0;
  std::uint32_t pad_left = 0;
  std::uint32_t multiplier = 1;  ///< Output channel c reads input channel c / multiplier.
};

/// The input planes, or a stripe of their rows: rows [row_begin, row_begin + rows) of input channel
/// c are at x[c * plane_stride], in_w floats each and nothing between them.
struct DepthwiseInput {
  const float* x = nullptr;
  std::size_t plane_stride = 0;
  std::size_t row_begin = 0;
  std::size_t rows = 0;  ///< in_h for whole planes.
};

struct DepthwiseWeights {
  const float* weights = nullptr;  ///< [output channels, kernel_h, kernel_w]
  const float* bias = nullptr;     ///< [output channels], or null.
};

/// The output planes: row DepthwiseRange::row_begin of output channel c is at y[c * plane_stride],
/// out_w floats a row and nothing between them. The residual is laid out in the same way.
struct DepthwiseOutput {
  float* y = nullptr;
  std::size_t plane_stride = 0;
  const float* residual = nullptr;  ///< Or null; must not overlap y.
  std::size_t residual_plane_stride = 0;
  Activation activation;  ///< Applied last: activation(convolution + bias + residual).
};

/// What one call computes: these rows of these output channels. All pointers are those of channel
/// 0.
struct DepthwiseRange {
  std::size_t channel_begin = 0;
  std::size_t channel_end = 0;
  std::size_t row_begin = 0;
  std::size_t row_end = 0;  ///< out_h for whole planes.
};

/// Rows [begin, end) of an input plane.
struct DepthwiseRows {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Input rows that output rows [row_begin, row_end) read: what a stripe must hold at least.
/// Empty (begin == end) if all of them lie in the padding.
DepthwiseRows DepthwiseInputRows(const DepthwiseShape& shape, std::size_t row_begin,
                                 std::size_t row_end) noexcept;

/// Depthwise convolution of planes in rows (CHW), float32. 3x3 and 5x5 kernels of stride 1 and 2
/// without dilation have code of their own; others (any size, stride and dilation) go a little
/// slower. Reads nothing before the first input plane of the range or behind its last one; between
/// them a vector may read across an edge, gaps between planes included. Writes nothing outside of
/// the range's rows. Calls may run at the same time if their ranges do not overlap.
///
/// @param shape    Sizes of at least 1.
/// @param weights  Not packed; see DepthwiseWeights.
/// @param input    Must hold DepthwiseInputRows() of the range. Must not overlap the output.
/// @cost   2 * kernel_h * kernel_w * outputs operations; 24 KiB of stack, no allocation. The last
///         bits of the sums depend on the ISA.
void DepthwiseConv(const DepthwiseShape& shape, const DepthwiseWeights& weights,
                   const DepthwiseInput& input, const DepthwiseOutput& output,
                   const DepthwiseRange& range) noexcept;

/// The same in plain loops with sums in double: the oracle of the tests.
void DepthwiseConvReference(const DepthwiseShape& shape, const DepthwiseWeights& weights,
                            const DepthwiseInput& input, const DepthwiseOutput& output,
                            const DepthwiseRange& range) noexcept;

}  // namespace espalier
