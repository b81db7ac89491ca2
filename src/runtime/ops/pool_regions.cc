#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/pool_parts.h"

namespace espalier::runtime {
namespace {

// Puts each element where MaxPool's indices say it came from.
class MaxUnpoolOp final : public FloatOp {
 public:
  explicit MaxUnpoolOp(const OpBuild& build) : attributes_(build) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Value& indices = InputOf(context, 1, DType::kInt64);
    CheckFloat(x, "the input of MaxUnpool");
    if (x.rank() < 3 || indices.dims != x.dims || attributes_.kernel.size() != x.rank() - 2) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("MaxUnpool of {} with indices {} and a kernel of {} axes",
                              DimsText(x.dims), DimsText(indices.dims), attributes_.kernel.size()));
    }
    Place(context, x.dims);
    Value& y = context.Output(0, x.dtype, y_dims_);
    if (x.dtype == DType::kFloat64) {
      Scatter(x.As<double>(), indices, y.As<double>());
    } else {
      Scatter(x.As<float>(), indices, y.As<float>());
    }
  }

 private:
  // The shape that the indices count in comes from the attributes; output_shape may be larger.
  void Place(OpContext& context, const Dims& x) {
    natural_.assign({x[0], x[1]});
    const std::size_t rank = x.size() - 2;
    const auto at = [](const std::vector<std::int64_t>& list, std::size_t i, std::int64_t other) {
      return i < list.size() ? list[i] : other;
    };
    for (std::size_t i = 0; i < rank; ++i) {
      const std::int64_t pads = at(attributes_.pads, i, 0) + at(attributes_.pads, i + rank, 0);
      if (x[i + 2] > INT32_MAX) {
        throw Error(ErrorCode::kUnsupported, fmt::format("MaxUnpool of {}", DimsText(x)));
      }
      natural_.push_back((x[i + 2] - 1) * at(attributes_.strides, i, 1) - pads +
                         attributes_.kernel[i]);
    }
    y_dims_ = natural_;
    if (!context.HasInput(2)) return;
    ReadInts(context, 2, &y_dims_);
    bool fits = y_dims_.size() == natural_.size();
    for (std::size_t i = 0; fits && i < y_dims_.size(); ++i) {
      fits = i < 2 ? y_dims_[i] == natural_[i] : y_dims_[i] >= natural_[i];
    }
    if (!fits) {
      throw Error(ErrorCode::kBadFile, fmt::format("MaxUnpool to {}, at least {}",
                                                   DimsText(y_dims_), DimsText(natural_)));
    }
  }

  template <typename T>
  void Scatter(const T* x, const Value& indices, T* y) const {
    const auto count = static_cast<std::size_t>(ElementCount(y_dims_));
    const std::int64_t places = ElementCount(natural_);
    std::fill(y, y + count, T{0});
    const auto* index = indices.As<std::int64_t>();
    for (std::size_t i = 0; i < indices.Elements(); ++i) {
      if (index[i] < 0 || index[i] >= places) {
        throw Error(ErrorCode::kBadFile, fmt::format("index {} of {} elements", index[i], places));
      }
      std::int64_t rest = index[i], at = 0, stride = 1;
      for (std::size_t axis = natural_.size(); axis > 0; --axis) {
        at += rest % natural_[axis - 1] * stride;
        rest /= natural_[axis - 1];
        stride *= y_dims_[axis - 1];
      }
      y[at] = x[i];
    }
  }

  const WindowAttributes attributes_;
  Dims natural_, y_dims_;
};

// What the two operators on regions of interest share.
class RegionOp : public FloatOp {
 protected:
  // Sizes of x and of the list of regions; y is [regions, channels, height, width].
  void Place(OpContext& context, std::int64_t columns, std::int64_t height, std::int64_t width) {
    const Value& x = context.Input(0);
    const Value& regions = context.Input(1);
    CheckFloat(x, "the input of a pooling of regions");
    CheckSameType(x, regions);
    if (x.rank() != 4 || regions.rank() != 2 || regions.dims[1] != columns) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("regions {} of {}", DimsText(regions.dims), DimsText(x.dims)));
    }
    y_dims_.assign({regions.dims[0], x.dims[1], height, width});
  }

  static std::int64_t CheckedImage(double image, std::int64_t images) {
    if (image >= 0 && image < static_cast<double>(images)) return static_cast<std::int64_t>(image);
    throw Error(ErrorCode::kBadFile, fmt::format("a region in image {} of {}", image, images));
  }

  Dims y_dims_;
};

class MaxRoiPoolOp final : public RegionOp {
 public:
  explicit MaxRoiPoolOp(const OpBuild& build)
      : shape_(build.Ints("pooled_shape", {})), scale_(build.Float("spatial_scale", 1)) {
    if (shape_.size() != 2 || shape_[0] < 1 || shape_[1] < 1) build.Refuse("this pooled_shape");
  }

 protected:
  void RunFloat(OpContext& context) override {
    Place(context, 5, shape_[0], shape_[1]);
    Value& y = context.Output(0, context.Input(0).dtype, y_dims_);
    if (y.dtype == DType::kFloat64) {
      Pool(context, y.As<double>());
    } else {
      Pool(context, y.As<float>());
    }
  }

 private:
  struct Span {
    std::int64_t begin = 0, end = 0;
  };

  // Bin `i` of `bins` of the region from `first` to `last`, clipped to [0, size).
  static Span Bin(double first, double last, std::int64_t i, std::int64_t bins, std::int64_t size) {
    const double length = std::max(1.0, last - first + 1) / static_cast<double>(bins);
    const auto clip = [&](double v) {
      return static_cast<std::int64_t>(std::clamp(v, 0.0, static_cast<double>(size)));
    };
    const auto n = static_cast<double>(i);
    return {clip(std::floor(n * length) + first), clip(std::ceil((n + 1) * length) + first)};
  }

  template <typename T>
  void Pool(OpContext& context, T* y) const {
    const Value& x = context.Input(0);
    const T* region = context.In<T>(1);
    for (std::int64_t r = 0; r < y_dims_[0]; ++r, region += 5) {
      const std::int64_t image = CheckedImage(region[0], x.dims[0]);
      double corners[4];
      for (int k = 0; k < 4; ++k) {
        const double corner = std::round(static_cast<double>(region[k + 1]) * scale_);
        corners[k] = std::isfinite(corner) ? std::clamp(corner, -1e9, 1e9) : 0;
      }
      for (std::int64_t c = 0; c < x.dims[1]; ++c) {
        const T* plane = x.As<T>() + (image * x.dims[1] + c) * x.dims[2] * x.dims[3];
        for (std::int64_t h = 0; h < shape_[0]; ++h) {
          const Span rows = Bin(corners[1], corners[3], h, shape_[0], x.dims[2]);
          for (std::int64_t w = 0; w < shape_[1]; ++w) {
            *y++ =
                MaxOf(plane, rows, Bin(corners[0], corners[2], w, shape_[1], x.dims[3]), x.dims[3]);
          }
        }
      }
    }
  }

  template <typename T>
  static T MaxOf(const T* plane, Span rows, Span columns, std::int64_t width) {
    if (rows.begin >= rows.end || columns.begin >= columns.end) return 0;
    T max = -std::numeric_limits<T>::infinity();
    for (std::int64_t h = rows.begin; h < rows.end; ++h) {
      for (std::int64_t w = columns.begin; w < columns.end; ++w) {
        max = std::max(max, plane[h * width + w]);
      }
    }
    return max;
  }

  const std::vector<std::int64_t> shape_;
  const double scale_;
};

class RoiAlignOp final : public RegionOp {
 public:
  explicit RoiAlignOp(const OpBuild& build)
      : height_(build.Int("output_height", 1)),
        width_(build.Int("output_width", 1)),
        samples_(build.Int("sampling_ratio", 0)),
        scale_(build.Float("spatial_scale", 1)) {
    const std::string mode = build.String("mode", "avg");
    if (mode != "avg" && mode != "max") build.Refuse(fmt::format("mode '{}'", mode));
    max_ = mode == "max";
    // Before opset 16 there was no shift by half a pixel.
    const std::string shift = build.String("coordinate_transformation_mode",
                                           build.opset() < 16 ? "output_half_pixel" : "half_pixel");
    if (shift != "half_pixel" && shift != "output_half_pixel") {
      build.Refuse(fmt::format("coordinate_transformation_mode '{}'", shift));
    }
    half_pixel_ = shift == "half_pixel";
    if (height_ < 1 || width_ < 1 || samples_ < 0 || samples_ > 1024) build.Refuse("these sizes");
  }

 protected:
  void RunFloat(OpContext& context) override {
    Place(context, 4, height_, width_);
    const Value& images = InputOf(context, 2, DType::kInt64);
    if (images.Elements() != static_cast<std::size_t>(y_dims_[0])) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} batch_indices for {} regions", images.Elements(), y_dims_[0]));
    }
    Value& y = context.Output(0, context.Input(0).dtype, y_dims_);
    if (y.dtype == DType::kFloat64) {
      Pool(context, y.As<double>());
    } else {
      Pool(context, y.As<float>());
    }
  }

 private:
  struct Bins {
    double begin = 0, step = 0;  // of a bin
    std::int64_t samples = 1;    // in a bin
  };

  Bins BinsOf(double from, double to, std::int64_t bins) const {
    const double offset = half_pixel_ ? 0.5 : 0.0;
    Bins out;
    out.begin = from * scale_ - offset;
    double length = to * scale_ - offset - out.begin;
    if (!half_pixel_) length = std::max(length, 1.0);
    if (!std::isfinite(length) || std::abs(length) > 1e9 || std::abs(out.begin) > 1e9) {
      throw Error(ErrorCode::kBadFile, fmt::format("a region from {} to {}", from, to));
    }
    out.step = length / static_cast<double>(bins);
    out.samples =
        samples_ > 0
            ? samples_
            : std::max<std::int64_t>(
                  0, std::min<std::int64_t>(1024, static_cast<std::int64_t>(std::ceil(out.step))));
    return out;
  }

  template <typename T>
  void Pool(OpContext& context, T* y) const {
    const Value& x = context.Input(0);
    const T* region = context.In<T>(1);
    const auto* images = context.In<std::int64_t>(2);
    for (std::int64_t r = 0; r < y_dims_[0]; ++r, region += 4) {
      const std::int64_t image = CheckedImage(static_cast<double>(images[r]), x.dims[0]);
      const Bins across = BinsOf(region[0], region[2], width_);
      const Bins down = BinsOf(region[1], region[3], height_);
      for (std::int64_t c = 0; c < x.dims[1]; ++c) {
        const T* plane = x.As<T>() + (image * x.dims[1] + c) * x.dims[2] * x.dims[3];
        for (std::int64_t h = 0; h < height_; ++h) {
          for (std::int64_t w = 0; w < width_; ++w) {
            *y++ = Sample(plane, x.dims[2], x.dims[3], down, h, across, w);
          }
        }
      }
    }
  }

  // Mean, or largest weighted term, over the sample points of one bin.
  template <typename T>
  T Sample(const T* plane, std::int64_t height, std::int64_t width, const Bins& down,
           std::int64_t h, const Bins& across, std::int64_t w) const {
    const std::int64_t count = down.samples * across.samples;
    if (count == 0) return 0;
    double sum = 0, max = -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < count; ++i) {
      const double y = Position(down, h, i / across.samples);
      const double x = Position(across, w, i % across.samples);
      double terms[4] = {};
      Interpolate(plane, height, width, y, x, terms);
      for (const double term : terms) {
        sum += term;
        max = std::max(max, term);
      }
    }
    return static_cast<T>(max_ ? max : sum / static_cast<double>(count));
  }

  static double Position(const Bins& bins, std::int64_t bin, std::int64_t sample) {
    return bins.begin + static_cast<double>(bin) * bins.step +
           (static_cast<double>(sample) + 0.5) * bins.step / static_cast<double>(bins.samples);
  }

  template <typename T>
  static void Interpolate(const T* plane, std::int64_t height, std::int64_t width, double y,
                          double x, double (&terms)[4]) {
    const auto h = static_cast<double>(height), w = static_cast<double>(width);
    if (height < 1 || width < 1 || y < -1 || y > h || x < -1 || x > w) return;
    y = std::clamp(y, 0.0, h - 1);
    x = std::clamp(x, 0.0, w - 1);
    const auto y0 = static_cast<std::int64_t>(y), x0 = static_cast<std::int64_t>(x);
    const std::int64_t y1 = std::min(y0 + 1, height - 1), x1 = std::min(x0 + 1, width - 1);
    const double fy = y - static_cast<double>(y0), fx = x - static_cast<double>(x0);
    terms[0] = (1 - fy) * (1 - fx) * plane[y0 * width + x0];
    terms[1] = (1 - fy) * fx * plane[y0 * width + x1];
    terms[2] = fy * (1 - fx) * plane[y1 * width + x0];
    terms[3] = fy * fx * plane[y1 * width + x1];
  }

  const std::int64_t height_, width_, samples_;
  const double scale_;
  bool max_ = false, half_pixel_ = false;
};

}  // namespace

std::unique_ptr<Op> MakeMaxUnpool(const OpBuild& build) {
  return std::make_unique<MaxUnpoolOp>(build);
}

std::unique_ptr<Op> MakeMaxRoiPool(const OpBuild& build) {
  return std::make_unique<MaxRoiPoolOp>(build);
}

std::unique_ptr<Op> MakeRoiAlign(const OpBuild& build) {
  return std::make_unique<RoiAlignOp>(build);
}

}  // namespace espalier::runtime
