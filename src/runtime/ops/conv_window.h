#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

/// A sliding window along one spatial axis.
struct WindowAxis {
  std::int64_t in = 1;
  std::int64_t out = 1;
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t pad_begin = 0;
  std::int64_t pad_end = 0;

  std::int64_t Extent() const { return (kernel - 1) * dilation + 1; }
};

enum class AutoPad : std::uint8_t { kNotSet, kValid, kSameUpper, kSameLower };

/// The attributes that Conv, ConvTranspose and the poolings share, checked.
struct WindowAttributes {
  /// @throws Error  kUnsupported for negative pads, over 3 spatial axes and unknown auto_pad;
  ///                kBadFile for sizes below 1 or above 2^31, or lists of different lengths.
  explicit WindowAttributes(const OpBuild& build);

  std::vector<std::int64_t> kernel;  ///< Empty: from the weight.
  std::vector<std::int64_t> strides, dilations;
  std::vector<std::int64_t> pads;  ///< Begins, then ends.
  AutoPad auto_pad = AutoPad::kNotSet;
  bool ceil_mode = false;
};

/// The window over each of `spatial` axes.
/// @param kernel  Its sizes; as many as there are axes.
/// @throws Error  kBadFile if the kernel is larger than the padded input or ranks differ;
///                kUnsupported over 3 axes.
void PlaceWindow(const WindowAttributes& attributes, std::span<const std::int64_t> spatial,
                 std::span<const std::int64_t> kernel, std::vector<WindowAxis>* axes);

/// The last three of (1, 1, axes...): all window operators run as 3-D ones.
struct Window3d {
  WindowAxis d, h, w;

  std::int64_t In() const { return d.in * h.in * w.in; }
  std::int64_t Out() const { return d.out * h.out * w.out; }
  std::int64_t Kernel() const { return d.kernel * h.kernel * w.kernel; }
};
Window3d AsWindow3d(std::span<const WindowAxis> axes);

/// First and one-past-last kernel position that lies inside the input for output position `out`.
struct KernelRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
KernelRange InsideRange(const WindowAxis& axis, std::int64_t out);

}  // namespace espalier::runtime
