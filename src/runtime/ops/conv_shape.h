#pragma once

#include <algorithm>
#include <vector>

#include "runtime/ops/conv_window.h"

namespace espalier::runtime {

/// A convolution with its sizes known. The axes of a transposed one are those of the convolution
/// that it is the gradient of: `in` is its output, `out` its input.
struct ConvShape {
  std::int64_t batch = 0;
  std::int64_t groups = 1;
  std::int64_t in_channels = 0;   ///< Of one group.
  std::int64_t out_channels = 0;  ///< Of one group.
  std::vector<WindowAxis> axes;
  bool transposed = false;

  std::int64_t OutElements() const { return transposed ? Window().In() : Window().Out(); }
  std::int64_t InElements() const { return transposed ? Window().Out() : Window().In(); }
  Window3d Window() const { return AsWindow3d(axes); }
};

/// Calls body(x_begin, y_begin, count) for the parts of rows that kernel position (kd, kh, kw)
/// brings together: y[y_begin + i] with x[x_begin + i * stride] for i in [0, count).
template <typename Body>
void ForKernelRows(const Window3d& window, std::int64_t kd, std::int64_t kh, std::int64_t kw,
                   const Body& body) {
  const auto inside = [](const WindowAxis& axis, std::int64_t k, std::int64_t out) {
    const std::int64_t at = out * axis.stride - axis.pad_begin + k * axis.dilation;
    return at >= 0 && at < axis.in ? at : -1;
  };
  const WindowAxis& w = window.w;
  const std::int64_t offset = kw * w.dilation - w.pad_begin;
  const std::int64_t first = offset < 0 ? (-offset + w.stride - 1) / w.stride : 0;
  const std::int64_t end =
      offset >= w.in ? 0 : std::min(w.out, (w.in - offset + w.stride - 1) / w.stride);
  if (first >= end) return;
  for (std::int64_t d = 0; d < window.d.out; ++d) {
    const std::int64_t in_d = inside(window.d, kd, d);
    if (in_d < 0) continue;
    for (std::int64_t h = 0; h < window.h.out; ++h) {
      const std::int64_t in_h = inside(window.h, kh, h);
      if (in_h < 0) continue;
      body((in_d * window.h.in + in_h) * w.in + first * w.stride + offset,
           (d * window.h.out + h) * w.out + first, end - first);
    }
  }
}

/// One pair of planes: y += x * kernel, or for the transposed one x += y * kernel with x the
/// output.
template <typename T>
void AddPlane(const ConvShape& shape, const Window3d& window, const T* in, const T* kernel,
              T* out) {
  const std::int64_t stride = window.w.stride;
  for (std::int64_t kd = 0; kd < window.d.kernel; ++kd) {
    for (std::int64_t kh = 0; kh < window.h.kernel; ++kh) {
      for (std::int64_t kw = 0; kw < window.w.kernel; ++kw) {
        const T weight = *kernel++;
        ForKernelRows(window, kd, kh, kw, [&](std::int64_t x, std::int64_t y, std::int64_t count) {
          if (shape.transposed) {
            for (std::int64_t i = 0; i < count; ++i) {
              out[x + i * stride] += in[y + i] * weight;
            }
          } else if (stride == 1) {
            for (std::int64_t i = 0; i < count; ++i) out[y + i] += in[x + i] * weight;
          } else {
            for (std::int64_t i = 0; i < count; ++i) {
              out[y + i] += in[x + i * stride] * weight;
            }
          }
        });
      }
    }
  }
}

/// Output channel `channel` of group `group` of image `image`, in plain loops: any number type, any
/// sizes.
template <typename T>
void PlainConvPlane(const ConvShape& shape, std::int64_t image, std::int64_t group,
                    std::int64_t channel, const T* x, const T* w, const T* bias, T* y) {
  const Window3d window = shape.Window();
  const std::int64_t in_elements = shape.InElements();
  const std::int64_t out_elements = shape.OutElements();
  const std::int64_t row = group * shape.out_channels + channel;
  T* out = y + (image * shape.groups * shape.out_channels + row) * out_elements;
  std::fill(out, out + out_elements, bias == nullptr ? T{0} : bias[row]);
  for (std::int64_t c = 0; c < shape.in_channels; ++c) {
    const std::int64_t in_row = group * shape.in_channels + c;
    const std::int64_t weight =
        shape.transposed ? in_row * shape.out_channels + channel : row * shape.in_channels + c;
    AddPlane(shape, window, x + (image * shape.groups * shape.in_channels + in_row) * in_elements,
             w + weight * window.Kernel(), out);
  }
}

/// A whole convolution in plain loops. x [batch, groups * in_channels, ...], y alike; w as in
/// ONNX's Conv or ConvTranspose.
template <typename T>
void PlainConv(const ConvShape& shape, const T* x, const T* w, const T* bias, T* y) {
  for (std::int64_t n = 0; n < shape.batch; ++n) {
    for (std::int64_t g = 0; g < shape.groups; ++g) {
      for (std::int64_t k = 0; k < shape.out_channels; ++k) {
        PlainConvPlane(shape, n, g, k, x, w, bias, y);
      }
    }
  }
}

/// Sizes of a Conv from its inputs, and its output's dimensions.
/// @throws Error  kBadFile, with both values, if they do not fit.
void PlaceConv(const WindowAttributes& attributes, std::int64_t groups, const Dims& x,
               const Dims& w, ConvShape* shape, Dims* y);

/// What the transposed convolution adds.
struct TransposeAttributes {
  std::vector<std::int64_t> output_padding;
  std::vector<std::int64_t> output_shape;
};

/// The same for a ConvTranspose.
void PlaceConvTranspose(const WindowAttributes& attributes, const TransposeAttributes& transpose,
                        std::int64_t groups, const Dims& x, const Dims& w, ConvShape* shape,
                        Dims* y);

}  // namespace espalier::runtime
