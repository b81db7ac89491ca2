#pragma once

#include <cstdint>
#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

enum class ResizeMode : std::uint8_t { kNearest, kLinear, kCubic };

enum class Transform : std::uint8_t {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfHalfPixelForNn,
  kTfCropAndResize,
};

enum class NearestMode : std::uint8_t {
  kRoundPreferFloor,
  kRoundPreferCeil,
  kFloor,
  kCeil,
  kSimple,  ///< Before opset 11: up when shrinking, else down.
};

/// What the attributes of Resize and Upsample say, checked.
struct ResizeAttributes {
  ResizeMode mode = ResizeMode::kNearest;
  Transform transform = Transform::kAsymmetric;
  NearestMode nearest = NearestMode::kSimple;
  float cubic_a = -0.75f;
  float extrapolation = 0;
  bool exclude_outside = false;
  bool antialias = false;
};

/// @throws Error  kUnsupported for modes that ONNX does not have.
ResizeAttributes ReadResizeAttributes(const OpBuild& build);

/// One axis: output position i takes `taps` input positions with their weights.
struct ResizeAxis {
  std::int64_t in = 1, out = 1;
  float scale = 1;
  float roi_begin = 0, roi_end = 1;

  std::int64_t taps = 1;
  std::vector<std::int64_t> index;  ///< [out][taps], inside the input.
  std::vector<float> weight;        ///< [out][taps]; not for nearest.
  std::vector<bool> outside;        ///< [out]: gets the extrapolation value. Empty: none does.

  bool Changes(const ResizeAttributes& attributes) const {
    return in != out || scale != 1 || attributes.transform == Transform::kTfCropAndResize;
  }
};

/// Fills in taps, index, weight and outside.
void PlaceTaps(const ResizeAttributes& attributes, ResizeAxis* axis);

}  // namespace espalier::runtime
