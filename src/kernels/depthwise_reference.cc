#include "espalier/kernels/depthwise.h"

namespace espalier {
namespace {

double SumAt(const DepthwiseShape& shape, const float* weights, const DepthwiseInput& input,
             const float* x, std::int64_t row, std::int64_t col) {
  double sum = 0;
  for (std::int64_t ky = 0; ky < shape.kernel_h; ++ky) {
    for (std::int64_t kx = 0; kx < shape.kernel_w; ++kx) {
      const std::int64_t iy = row * shape.stride_h + ky * shape.dilation_h - shape.pad_top;
      const std::int64_t ix = col * shape.stride_w + kx * shape.dilation_w - shape.pad_left;
      if (iy < 0 || iy >= shape.in_h || ix < 0 || ix >= shape.in_w) continue;
      const std::int64_t row_in_stripe = iy - static_cast<std::int64_t>(input.row_begin);
      sum += static_cast<double>(weights[ky * shape.kernel_w + kx]) *
             static_cast<double>(x[row_in_stripe * shape.in_w + ix]);
    }
  }
  return sum;
}

}  // namespace

void DepthwiseConvReference(const DepthwiseShape& shape, const DepthwiseWeights& weights,
                            const DepthwiseInput& input, const DepthwiseOutput& output,
                            const DepthwiseRange& range) noexcept {
  const std::size_t taps = std::size_t{shape.kernel_h} * shape.kernel_w;
  for (std::size_t c = range.channel_begin; c < range.channel_end; ++c) {
    const float* x = input.x + c / shape.multiplier * input.plane_stride;
    for (std::size_t row = range.row_begin; row < range.row_end; ++row) {
      for (std::size_t col = 0; col < shape.out_w; ++col) {
        const std::size_t at = (row - range.row_begin) * shape.out_w + col;
        double sum = SumAt(shape, weights.weights + c * taps, input, x,
                           static_cast<std::int64_t>(row), static_cast<std::int64_t>(col));
        if (weights.bias != nullptr) sum += static_cast<double>(weights.bias[c]);
        if (output.residual != nullptr) {
          sum += static_cast<double>(output.residual[c * output.residual_plane_stride + at]);
        }
        output.y[c * output.plane_stride + at] =
            Activate(output.activation, static_cast<float>(sum));
      }
    }
  }
}

}  // namespace espalier
