#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/resize_axis.h"
#include "runtime/ops/resize_grid.h"
#include "runtime/ops/resize_passes.h"

namespace espalier::runtime {
namespace {

enum class Aspect : std::uint8_t { kStretch, kNotLarger, kNotSmaller };

constexpr double kMostElements = 4e9;  // along one axis

// Resize of every opset, and Upsample.
class ResizeOp final : public FloatOp {
 public:
  explicit ResizeOp(const OpBuild& build)
      : attributes_(ReadResizeAttributes(build)),
        axes_given_(build.Ints("axes", {})),
        fixed_scales_(build.Floats("scales", {})) {
    const bool upsample = build.node().op_type == "Upsample";
    if (upsample && build.opset() < 7) build.Refuse("an opset below 7");
    const bool old = upsample || build.opset() < 11;
    scales_input_ = old ? 1 : 2;
    roi_input_ = old ? kNone : 1;
    sizes_input_ = old ? kNone : 3;
    const std::string policy = build.String("keep_aspect_ratio_policy", "stretch");
    if (policy == "not_larger") {
      aspect_ = Aspect::kNotLarger;
    } else if (policy == "not_smaller") {
      aspect_ = Aspect::kNotSmaller;
    } else if (policy != "stretch") {
      build.Refuse(fmt::format("keep_aspect_ratio_policy '{}'", policy));
    }
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    PlaceAxes(context, x.dims);
    y_dims_.clear();
    for (const ResizeAxis& axis : axes_) y_dims_.push_back(axis.out);
    Value& y = context.Output(0, x.dtype, y_dims_);
    if (y.Elements() == 0) return;
    if (x.Elements() == 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a resize of {} to {}", DimsText(x.dims), DimsText(y_dims_)));
    }
    for (ResizeAxis& axis : axes_) {
      axis.index.clear();
      axis.outside.clear();
      if (axis.Changes(attributes_)) PlaceTaps(attributes_, &axis);
    }
    if (attributes_.mode == ResizeMode::kNearest) {
      if (x.rank() == 0) {
        std::copy_n(x.data, ElementBytes(x.dtype), y.data);
      } else {
        ResizeNearest(context.threads(), axes_, ElementBytes(x.dtype), x.data, y.data);
      }
    } else if (x.dtype == DType::kFloat64) {
      Interpolate<double>(context, x, &y);
    } else {
      Interpolate<float>(context, x, &y);
    }
    Extrapolate(&y);
  }

 private:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  static bool Given(const OpContext& context, std::size_t i) {
    return i != kNone && context.HasInput(i) && context.Input(i).Elements() > 0;
  }

  void PlaceAxes(const OpContext& context, const Dims& x) {
    const std::size_t rank = x.size();
    chosen_.clear();
    for (const std::int64_t axis : axes_given_) chosen_.push_back(CheckedAxis(axis, rank));
    if (axes_given_.empty()) {
      for (std::size_t i = 0; i < rank; ++i) chosen_.push_back(i);
    }
    axes_.resize(rank);
    for (std::size_t i = 0; i < rank; ++i) {
      axes_[i].in = axes_[i].out = x[i];
      axes_[i].scale = 1;
      axes_[i].roi_begin = 0;
      axes_[i].roi_end = 1;
    }
    if (attributes_.transform == Transform::kTfCropAndResize) PlaceRoi(context);
    if (Given(context, sizes_input_)) {
      PlaceSizes(context);
    } else {
      PlaceScales(context);
    }
  }

  void PlaceRoi(const OpContext& context) {
    if (!Given(context, roi_input_)) {
      throw Error(ErrorCode::kBadFile, "tf_crop_and_resize without roi");
    }
    const Value& roi = context.Input(roi_input_);
    CheckFloat(roi, "roi");
    const std::size_t count = chosen_.size();
    if (roi.Elements() != 2 * count) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a roi of {} numbers for {} axes", roi.Elements(), count));
    }
    for (std::size_t i = 0; i < count; ++i) {
      axes_[chosen_[i]].roi_begin = FloatAt(roi, i);
      axes_[chosen_[i]].roi_end = FloatAt(roi, i + count);
    }
  }

  static float FloatAt(const Value& value, std::size_t i) {
    return value.dtype == DType::kFloat64 ? static_cast<float>(value.As<double>()[i])
                                          : value.As<float>()[i];
  }

  void PlaceSizes(const OpContext& context) {
    ReadInts(context, sizes_input_, &sizes_);
    if (sizes_.size() != chosen_.size()) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} sizes for {} axes", sizes_.size(), chosen_.size()));
    }
    float common = aspect_ == Aspect::kNotLarger ? std::numeric_limits<float>::infinity() : 0;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      ResizeAxis& axis = axes_[chosen_[i]];
      if (sizes_[i] < 0 || sizes_[i] > INT32_MAX) {
        throw Error(ErrorCode::kBadFile, fmt::format("a resize to the size {}", sizes_[i]));
      }
      axis.out = sizes_[i];
      if (axis.in == 0) continue;
      axis.scale = static_cast<float>(sizes_[i]) / static_cast<float>(axis.in);
      common = aspect_ == Aspect::kNotLarger ? std::min(common, axis.scale)
                                             : std::max(common, axis.scale);
    }
    if (aspect_ == Aspect::kStretch || !std::isfinite(common)) return;
    for (const std::size_t i : chosen_) {
      ResizeAxis& axis = axes_[i];
      axis.scale = common;
      axis.out =
          CheckedSize(std::floor(static_cast<double>(common) * static_cast<double>(axis.in) + 0.5));
    }
  }

  void PlaceScales(const OpContext& context) {
    const bool input = Given(context, scales_input_);
    if (input) CheckFloat(context.Input(scales_input_), "scales");
    const std::size_t count =
        input ? context.Input(scales_input_).Elements() : fixed_scales_.size();
    if (count != chosen_.size()) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} scales for {} axes", count, chosen_.size()));
    }
    for (std::size_t i = 0; i < count; ++i) {
      ResizeAxis& axis = axes_[chosen_[i]];
      axis.scale = input ? FloatAt(context.Input(scales_input_), i) : fixed_scales_[i];
      if (!(axis.scale > 0) || !std::isfinite(axis.scale)) {
        throw Error(ErrorCode::kBadFile, fmt::format("a scale of {}", axis.scale));
      }
      const double crop = attributes_.transform == Transform::kTfCropAndResize
                              ? double{axis.roi_end} - double{axis.roi_begin}
                              : 1.0;
      // The product in float32, as the models' makers compute it.
      const float size = static_cast<float>(axis.in) * axis.scale;
      axis.out = CheckedSize(std::floor(crop == 1 ? double{size} : size * crop));
    }
  }

  static std::int64_t CheckedSize(double size) {
    if (size >= 0 && size <= kMostElements) return static_cast<std::int64_t>(size);
    throw Error(ErrorCode::kBadFile, fmt::format("a resize to the size {}", size));
  }

  // Axis by axis, the last one first, through two buffers in turn.
  template <typename T>
  void Interpolate(OpContext& context, const Value& x, Value* y) {
    const T* from = Widened<T>(x);
    const bool direct = x.dtype == DType::kFloat32 || x.dtype == DType::kFloat64;
    std::size_t left = 0;
    for (const ResizeAxis& axis : axes_) left += axis.Changes(attributes_) ? 1 : 0;
    if (left == 0) return Narrowed(from, x.Elements(), y);
    std::int64_t inner = 1;
    for (std::size_t i = axes_.size(); i > 0; --i) {
      const ResizeAxis& axis = axes_[i - 1];
      if (axis.Changes(attributes_)) {
        std::int64_t outer = 1;
        for (std::size_t k = 0; k + 1 < i; ++k) outer *= axes_[k].in;
        sizes_.assign({outer, axis.out, inner});
        const auto count = static_cast<std::size_t>(ElementCount(sizes_));
        --left;
        T* to = left == 0 && direct
                    ? y->As<T>()
                    : reinterpret_cast<T*>(buffers_[left % 2].Reserve(count * sizeof(T)));
        ResizeAlong(context.threads(), axis, outer, inner, from, to);
        from = to;
      }
      inner *= axis.out;
    }
    if (!direct) Narrowed(from, y->Elements(), y);
  }

  template <typename T>
  const T* Widened(const Value& x) {
    if (x.dtype == kDTypeOf<T>) return x.As<T>();
    const std::size_t count = x.Elements();
    T* wide = reinterpret_cast<T*>(widened_.Reserve(count * sizeof(T)));
    Dispatch(NumberTypes(), x.dtype, [&]<typename From>() {
      for (std::size_t i = 0; i < count; ++i) wide[i] = static_cast<T>(x.As<From>()[i]);
    });
    return wide;
  }

  template <typename T>
  static void Narrowed(const T* from, std::size_t count, Value* y) {
    Dispatch(NumberTypes(), y->dtype, [&]<typename To>() {
      for (std::size_t i = 0; i < count; ++i)
        y->As<To>()[i] = Hold<To>(static_cast<double>(from[i]));
    });
  }

  // Cut off towards zero and held to the type.
  template <typename To>
  static To Hold(double value) {
    if constexpr (std::is_floating_point_v<To>) {
      return static_cast<To>(value);
    } else {
      constexpr auto kLow = static_cast<double>(std::numeric_limits<To>::lowest());
      constexpr auto kHigh = static_cast<double>(std::numeric_limits<To>::max());
      if (value >= kHigh) return std::numeric_limits<To>::max();
      return value > kLow ? static_cast<To>(value) : std::numeric_limits<To>::lowest();
    }
  }

  // Elements that lie outside along any axis.
  void Extrapolate(Value* y) const {
    if (attributes_.transform != Transform::kTfCropAndResize) return;
    Dispatch(NumberTypes(), y->dtype, [&]<typename T>() {
      const T value = Hold<T>(attributes_.extrapolation);
      T* at = y->As<T>();
      const auto count = static_cast<std::int64_t>(y->Elements());
      for (std::int64_t i = 0; i < count; ++i) {
        std::int64_t rest = i;
        for (std::size_t k = axes_.size(); k > 0; --k) {
          const ResizeAxis& axis = axes_[k - 1];
          if (!axis.outside.empty() && axis.outside[static_cast<std::size_t>(rest % axis.out)]) {
            at[i] = value;
            break;
          }
          rest /= axis.out;
        }
      }
    });
  }

  const ResizeAttributes attributes_;
  const std::vector<std::int64_t> axes_given_;
  const std::vector<float> fixed_scales_;
  Aspect aspect_ = Aspect::kStretch;
  std::size_t scales_input_ = 1, roi_input_ = kNone, sizes_input_ = kNone;

  std::vector<std::size_t> chosen_;
  std::vector<ResizeAxis> axes_;
  std::vector<std::int64_t> sizes_;
  Dims y_dims_;
  AlignedBuffer buffers_[2], widened_;
};

std::unique_ptr<Op> MakeResize(const OpBuild& build) { return std::make_unique<ResizeOp>(build); }

constexpr OpEntry kOps[] = {
    {"", "Resize", &MakeResize},
    {"", "Upsample", &MakeResize},
    {"", "GridSample", &MakeGridSample},
    {"", "AffineGrid", &MakeAffineGrid},
};

}  // namespace

std::span<const OpEntry> ResizeOps() { return kOps; }

}  // namespace espalier::runtime
