#include "espalier/kernels/spmm.h"

namespace espalier {
namespace {

double WindowAt(const SpmmInput& input, std::size_t k, std::size_t pixel) {
  const SpmmWindow& w = input.window;
  const std::size_t s = k % w.kernel_w;
  const std::size_t r = k / w.kernel_w % w.kernel_h;
  const std::size_t channel = k / w.kernel_w / w.kernel_h;
  const auto y =
      static_cast<std::int64_t>(pixel / w.out_w * w.stride_h + r * w.dilation_h) - w.pad_top;
  const auto x = static_cast<std::int64_t>(pixel % w.out_w * w.stride_w + s * w.dilation_w) -
                 static_cast<std::int64_t>(w.pad_left);
  if (y < 0 || x < 0 || y >= w.height || x >= w.width) return 0;
  return input
      .x[channel * input.ld + static_cast<std::size_t>(y) * w.width + static_cast<std::size_t>(x)];
}

double InputAt(const SpmmInput& input, std::size_t k, std::size_t pixel) {
  if (input.kind == SpmmInputKind::kPlanes) return input.x[k * input.ld + pixel];
  if (input.kind == SpmmInputKind::kTokens) return input.x[pixel * input.ld + k];
  return WindowAt(input, k, pixel);
}

}  // namespace

void SpmmReference(const float* dense, std::size_t rows, std::size_t cols, const SpmmInput& input,
                   const SpmmOutput& output, std::size_t pixel_begin,
                   std::size_t pixel_end) noexcept {
  const bool planes = output.kind == SpmmOutputKind::kPlanes;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t pixel = pixel_begin; pixel < pixel_end; ++pixel) {
      double sum = output.bias == nullptr ? 0.0 : output.bias[row];
      for (std::size_t k = 0; k < cols; ++k) {
        const double weight = dense[row * cols + k];
        if (weight != 0) sum += weight * InputAt(input, k, pixel);
      }
      if (output.residual != nullptr) {
        const std::size_t ld = output.residual_ld;
        sum += output.residual[planes ? row * ld + pixel : pixel * ld + row];
      }
      output.y[planes ? row * output.ld + pixel : pixel * output.ld + row] =
          Activate(output.activation, static_cast<float>(sum));
    }
  }
}

}  // namespace espalier
