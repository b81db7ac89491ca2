#include "runtime/ops/resize_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace espalier::runtime {
namespace {

template <typename T>
struct Named {
  const char* name;
  T value;
};

template <typename T, std::size_t kCount>
T Choose(const OpBuild& build, const char* attribute, const char* fallback,
         const Named<T> (&names)[kCount]) {
  const std::string text = build.String(attribute, fallback);
  for (const Named<T>& entry : names) {
    if (text == entry.name) return entry.value;
  }
  build.Refuse(fmt::format("{} '{}'", attribute, text));
}

// Where output position i lies in the input. In float32, as ONNX Runtime does it: a rounded scale
// of 1/3 times 3 has to be 1 for "nearest".
float Source(const ResizeAttributes& attributes, const ResizeAxis& axis, std::int64_t i) {
  const auto x = static_cast<float>(i);
  const auto in = static_cast<float>(axis.in);
  const float width = axis.scale * in;  // of the output, before it was cut to whole positions
  switch (attributes.transform) {
    case Transform::kHalfPixel:
      return (x + 0.5f) / axis.scale - 0.5f;
    case Transform::kHalfPixelSymmetric: {
      const float adjustment = static_cast<float>(axis.out) / width;
      return in / 2 * (1 - adjustment) + (x + 0.5f) / axis.scale - 0.5f;
    }
    case Transform::kPytorchHalfPixel:
      return axis.out > 1 ? (x + 0.5f) / axis.scale - 0.5f : 0;
    case Transform::kAlignCorners:
      return axis.out == 1 || width == 1 ? 0 : x * (in - 1) / (width - 1);
    case Transform::kAsymmetric:
      return x / axis.scale;
    case Transform::kTfHalfPixelForNn:
      return (x + 0.5f) / axis.scale;
    case Transform::kTfCropAndResize:
      break;
  }
  const float length = axis.roi_end - axis.roi_begin;
  if (axis.out == 1) return 0.5f * (axis.roi_begin + axis.roi_end) * (in - 1);
  return axis.roi_begin * (in - 1) + x * length * (in - 1) / static_cast<float>(axis.out - 1);
}

// Held where float to integer is defined; far outside any tensor's axis.
float Held(float x) { return std::isnan(x) ? 0 : std::clamp(x, -1e9f, 4e9f); }

std::int64_t Nearest(const ResizeAttributes& attributes, const ResizeAxis& axis, float x) {
  const float floor = std::floor(x);
  const float ratio = x - floor;
  bool up = false;
  switch (attributes.nearest) {
    case NearestMode::kRoundPreferFloor:
      up = ratio > 0.5f;
      break;
    case NearestMode::kRoundPreferCeil:
      up = ratio >= 0.5f;
      break;
    case NearestMode::kFloor:
      break;
    case NearestMode::kCeil:
      up = ratio > 0;
      break;
    case NearestMode::kSimple:
      up = axis.scale < 1 && ratio > 0;
      break;
  }
  return static_cast<std::int64_t>(floor) + (up ? 1 : 0);
}

float CubicWeight(float a, float distance) {
  const float x = std::abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

void PlaceNearest(const ResizeAttributes& attributes, ResizeAxis* axis) {
  axis->taps = 1;
  axis->index.resize(static_cast<std::size_t>(axis->out));
  for (std::int64_t i = 0; i < axis->out; ++i) {
    const float x = Held(Source(attributes, *axis, i));
    axis->index[static_cast<std::size_t>(i)] =
        std::clamp<std::int64_t>(Nearest(attributes, *axis, x), 0, axis->in - 1);
  }
}

// Weights of taps `first` and on from floor(x); scaled to a sum of 1 where some may be missing.
void PlaceWeights(const ResizeAttributes& attributes, ResizeAxis* axis, float shrink,
                  std::int64_t first, std::int64_t i) {
  const float x = Held(Source(attributes, *axis, i));
  const float floor = std::floor(x);
  const std::int64_t base = static_cast<std::int64_t>(floor) + first;
  const auto begin = static_cast<std::size_t>(i * axis->taps);
  float sum = 0;
  for (std::int64_t t = 0; t < axis->taps; ++t) {
    const float distance = (static_cast<float>(first + t) - (x - floor)) * shrink;
    float weight = attributes.mode == ResizeMode::kCubic ? CubicWeight(attributes.cubic_a, distance)
                                                         : std::max(0.0f, 1 - std::abs(distance));
    const std::int64_t at = base + t;
    if (attributes.exclude_outside && (at < 0 || at >= axis->in)) weight = 0;
    axis->index[begin + static_cast<std::size_t>(t)] =
        std::clamp<std::int64_t>(at, 0, axis->in - 1);
    axis->weight[begin + static_cast<std::size_t>(t)] = weight;
    sum += weight;
  }
  if ((!attributes.exclude_outside && shrink == 1) || sum == 0) return;
  for (std::int64_t t = 0; t < axis->taps; ++t) {
    axis->weight[begin + static_cast<std::size_t>(t)] /= sum;
  }
}

}  // namespace

ResizeAttributes ReadResizeAttributes(const OpBuild& build) {
  ResizeAttributes attributes;
  attributes.mode = Choose<ResizeMode>(build, "mode", "nearest",
                                       {{"nearest", ResizeMode::kNearest},
                                        {"linear", ResizeMode::kLinear},
                                        {"bilinear", ResizeMode::kLinear},
                                        {"cubic", ResizeMode::kCubic}});
  if (build.node().op_type == "Upsample" || build.opset() < 11) return attributes;
  attributes.transform =
      Choose<Transform>(build, "coordinate_transformation_mode", "half_pixel",
                        {{"half_pixel", Transform::kHalfPixel},
                         {"half_pixel_symmetric", Transform::kHalfPixelSymmetric},
                         {"pytorch_half_pixel", Transform::kPytorchHalfPixel},
                         {"align_corners", Transform::kAlignCorners},
                         {"asymmetric", Transform::kAsymmetric},
                         {"tf_half_pixel_for_nn", Transform::kTfHalfPixelForNn},
                         {"tf_crop_and_resize", Transform::kTfCropAndResize}});
  attributes.nearest = Choose<NearestMode>(build, "nearest_mode", "round_prefer_floor",
                                           {{"round_prefer_floor", NearestMode::kRoundPreferFloor},
                                            {"round_prefer_ceil", NearestMode::kRoundPreferCeil},
                                            {"floor", NearestMode::kFloor},
                                            {"ceil", NearestMode::kCeil}});
  attributes.cubic_a = build.Float("cubic_coeff_a", -0.75f);
  attributes.extrapolation = build.Float("extrapolation_value", 0);
  attributes.exclude_outside = build.Int("exclude_outside", 0) != 0;
  attributes.antialias = build.Int("antialias", 0) != 0;
  return attributes;
}

void PlaceTaps(const ResizeAttributes& attributes, ResizeAxis* axis) {
  axis->outside.clear();
  if (attributes.transform == Transform::kTfCropAndResize) {
    axis->outside.resize(static_cast<std::size_t>(axis->out));
    for (std::int64_t i = 0; i < axis->out; ++i) {
      const float x = Source(attributes, *axis, i);
      axis->outside[static_cast<std::size_t>(i)] =
          !(x >= 0 && x <= static_cast<float>(axis->in - 1));
    }
  }
  if (attributes.mode == ResizeMode::kNearest) return PlaceNearest(attributes, axis);
  const float reach = attributes.mode == ResizeMode::kCubic ? 2 : 1;
  // Shrinking with antialias widens the kernel; never to more than the axis has.
  const float shrink = attributes.antialias ? std::min(axis->scale, 1.0f) : 1.0f;
  const float widest = static_cast<float>(axis->in) + 2;
  const auto first = static_cast<std::int64_t>(std::floor(-std::min(reach / shrink, widest))) + 1;
  axis->taps = 2 - 2 * first;
  // Both are sizes of axes: below 2^33.
  if (axis->out > (std::int64_t{1} << 40) / axis->taps) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("a resize from {} to {} elements", axis->in, axis->out));
  }
  const auto count = static_cast<std::size_t>(axis->out * axis->taps);
  axis->index.resize(count);
  axis->weight.resize(count);
  for (std::int64_t i = 0; i < axis->out; ++i) PlaceWeights(attributes, axis, shrink, first, i);
}

}  // namespace espalier::runtime
