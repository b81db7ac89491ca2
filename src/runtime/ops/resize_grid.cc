#include "runtime/ops/resize_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"

namespace espalier::runtime {
namespace {

enum class Mode : std::uint8_t { kNearest, kLinear, kCubic };
enum class Padding : std::uint8_t { kZeros, kBorder, kReflection };

// Position on an axis of `size` elements that mirrors at the ends as often as need be.
double Reflected(double x, double low, double high) {
  const double length = high - low;
  if (!(length > 0) || !std::isfinite(x)) return low;
  const double turns = std::fmod(std::abs(x - low), 2 * length);
  return low + (turns > length ? 2 * length - turns : turns);
}

// Samples planes of [N, C, H, W] or volumes of [N, C, D, H, W] at the grid's positions.
class GridSampleOp final : public FloatOp {
 public:
  explicit GridSampleOp(const OpBuild& build) : align_(build.Int("align_corners", 0) != 0) {
    const std::string mode = build.String("mode", "linear");
    if (mode == "nearest") {
      mode_ = Mode::kNearest;
    } else if (mode == "bicubic" || mode == "cubic") {
      mode_ = Mode::kCubic;
    } else if (mode != "bilinear" && mode != "linear") {
      build.Refuse(fmt::format("mode '{}'", mode));
    }
    const std::string padding = build.String("padding_mode", "zeros");
    if (padding == "border") {
      padding_ = Padding::kBorder;
    } else if (padding == "reflection") {
      padding_ = Padding::kReflection;
    } else if (padding != "zeros") {
      build.Refuse(fmt::format("padding_mode '{}'", padding));
    }
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Value& grid = context.Input(1);
    CheckFloat(x, "the input of GridSample");
    CheckSameType(x, grid);
    const std::size_t rank = x.rank();
    const bool fits = (rank == 4 || rank == 5) && grid.rank() == rank &&
                      grid.dims[0] == x.dims[0] &&
                      grid.dims[rank - 1] == static_cast<std::int64_t>(rank) - 2;
    if (!fits) {
      throw Error(ErrorCode::kBadFile, fmt::format("GridSample of {} with the grid {}",
                                                   DimsText(x.dims), DimsText(grid.dims)));
    }
    if (mode_ == Mode::kCubic && rank == 5) {
      throw Error(ErrorCode::kUnsupported, "cubic GridSample of volumes");
    }
    y_dims_.assign({x.dims[0], x.dims[1]});
    y_dims_.insert(y_dims_.end(), grid.dims.begin() + 1, grid.dims.end() - 1);
    Value& y = context.Output(0, x.dtype, y_dims_);
    if (y.Elements() == 0) return;
    if (x.Elements() == 0) {
      throw Error(ErrorCode::kBadFile, fmt::format("GridSample of {}", DimsText(x.dims)));
    }
    if (x.dtype == DType::kFloat64) {
      SampleAll(context, x, grid.As<double>(), y.As<double>());
    } else {
      SampleAll(context, x, grid.As<float>(), y.As<float>());
    }
  }

 private:
  // Taps along one axis; an index of -1 is a zero.
  struct Taps {
    int count = 0;
    std::int64_t index[4] = {};
    double weight[4] = {};
  };

  template <typename T>
  void SampleAll(OpContext& context, const Value& x, const T* grid, T* y) const {
    const std::size_t axes = x.rank() - 2;
    std::int64_t plane = 1, points = 1;
    for (std::size_t i = 0; i < axes; ++i) plane *= x.dims[i + 2];
    for (std::size_t i = 0; i < axes; ++i) points *= y_dims_[i + 2];
    const std::int64_t channels = x.dims[1];
    const std::int64_t count = x.dims[0] * points;
    ParallelRanges(
        context.threads(), count, count * channels * 16, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t image = i / points;
            Taps taps[3];
            for (Taps& axis : taps) axis = {1, {}, {1}};
            // The grid has the last axis first.
            for (std::size_t k = 0; k < axes; ++k) {
              const double at =
                  grid[i * static_cast<std::int64_t>(axes) + static_cast<std::int64_t>(k)];
              taps[2 - k] = TapsAt(at, x.dims[x.rank() - 1 - k]);
            }
            for (std::int64_t c = 0; c < channels; ++c) {
              const std::int64_t at = image * channels + c;
              y[at * points + i % points] = Sum(x.As<T>() + at * plane, x.dims, taps);
            }
          }
        });
  }

  Taps TapsAt(double at, std::int64_t size) const {
    const auto n = static_cast<double>(size);
    double x = align_ ? (at + 1) / 2 * (n - 1) : ((at + 1) * n - 1) / 2;
    const double low = align_ ? 0 : -0.5, high = align_ ? n - 1 : n - 0.5;
    // Cubic taps are held or mirrored one by one.
    if (mode_ != Mode::kCubic) {
      if (padding_ == Padding::kBorder) x = std::clamp(x, 0.0, n - 1);
      if (padding_ == Padding::kReflection) x = std::clamp(Reflected(x, low, high), 0.0, n - 1);
    }
    x = std::isfinite(x) ? std::clamp(x, -4.0, n + 4) : -4;
    Taps taps;
    if (mode_ == Mode::kNearest) {
      taps.count = 1;
      taps.index[0] = Place(std::nearbyint(x), size, low, high);
      taps.weight[0] = 1;
      return taps;
    }
    const double floor = std::floor(x);
    const double ratio = x - floor;
    taps.count = mode_ == Mode::kLinear ? 2 : 4;
    for (int t = 0; t < taps.count; ++t) {
      const double offset = mode_ == Mode::kLinear ? t : t - 1;
      taps.index[t] = Place(floor + offset, size, low, high);
      taps.weight[t] = mode_ == Mode::kLinear ? 1 - std::abs(offset - ratio)
                                              : CubicWeight(std::abs(offset - ratio));
    }
    return taps;
  }

  static double CubicWeight(double x) {
    constexpr double kA = -0.75;
    if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
    return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA;
  }

  // Index of a whole position; -1 for one outside that counts as zero.
  std::int64_t Place(double x, std::int64_t size, double low, double high) const {
    const auto n = static_cast<double>(size);
    if (x >= 0 && x <= n - 1) return static_cast<std::int64_t>(x);
    if (padding_ == Padding::kZeros) return -1;
    if (padding_ == Padding::kReflection) x = std::nearbyint(Reflected(x, low, high));
    return static_cast<std::int64_t>(std::clamp(x, 0.0, n - 1));
  }

  template <typename T>
  static T Sum(const T* plane, const Dims& dims, const Taps (&taps)[3]) {
    const std::int64_t width = dims[dims.size() - 1], height = dims[dims.size() - 2];
    double sum = 0;
    for (int d = 0; d < taps[0].count; ++d) {
      for (int h = 0; h < taps[1].count; ++h) {
        for (int w = 0; w < taps[2].count; ++w) {
          if (taps[0].index[d] < 0 || taps[1].index[h] < 0 || taps[2].index[w] < 0) continue;
          sum += taps[0].weight[d] * taps[1].weight[h] * taps[2].weight[w] *
                 plane[(taps[0].index[d] * height + taps[1].index[h]) * width + taps[2].index[w]];
        }
      }
    }
    return static_cast<T>(sum);
  }

  const bool align_;
  Mode mode_ = Mode::kLinear;
  Padding padding_ = Padding::kZeros;
  Dims y_dims_;
};

// theta [N, r, r + 1] times the positions of an output of `size` (N, C, [D,] H, W).
class AffineGridOp final : public FloatOp {
 public:
  explicit AffineGridOp(const OpBuild& build) : align_(build.Int("align_corners", 0) != 0) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& theta = context.Input(0);
    CheckFloat(theta, "theta of AffineGrid");
    ReadInts(context, 1, &size_);
    const auto axes = static_cast<std::int64_t>(size_.size()) - 2;
    if ((axes != 2 && axes != 3) || theta.dims != Dims{size_[0], axes, axes + 1}) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("AffineGrid of {} for {}", DimsText(theta.dims), DimsText(size_)));
    }
    y_dims_.assign(1, size_[0]);
    y_dims_.insert(y_dims_.end(), size_.begin() + 2, size_.end());
    y_dims_.push_back(axes);
    Value& y = context.Output(0, theta.dtype, y_dims_);
    if (y.Elements() == 0) return;
    if (theta.dtype == DType::kFloat64) {
      Fill(theta.As<double>(), axes, y.As<double>());
    } else {
      Fill(theta.As<float>(), axes, y.As<float>());
    }
  }

 private:
  template <typename T>
  void Fill(const T* theta, std::int64_t axes, T* y) const {
    std::int64_t points = 1;
    for (std::int64_t i = 0; i < axes; ++i) points *= size_[static_cast<std::size_t>(i) + 2];
    for (std::int64_t n = 0; n < size_[0]; ++n, theta += axes * (axes + 1)) {
      for (std::int64_t p = 0; p < points; ++p) {
        double at[4] = {1, 1, 1, 1};  // x, y, [z,] 1
        std::int64_t rest = p;
        for (std::int64_t k = 0; k < axes; ++k) {
          const std::int64_t length = size_[size_.size() - 1 - static_cast<std::size_t>(k)];
          at[k] = Position(rest % length, length);
          rest /= length;
        }
        for (std::int64_t row = 0; row < axes; ++row) {
          double sum = 0;
          for (std::int64_t k = 0; k <= axes; ++k) {
            sum += static_cast<double>(theta[row * (axes + 1) + k]) * at[k];
          }
          *y++ = static_cast<T>(sum);
        }
      }
    }
  }

  double Position(std::int64_t i, std::int64_t length) const {
    const auto x = static_cast<double>(i), n = static_cast<double>(length);
    if (!align_) return (2 * x + 1) / n - 1;
    return length == 1 ? -1 : 2 * x / (n - 1) - 1;
  }

  const bool align_;
  Dims size_, y_dims_;
};

}  // namespace

std::unique_ptr<Op> MakeGridSample(const OpBuild& build) {
  return std::make_unique<GridSampleOp>(build);
}

std::unique_ptr<Op> MakeAffineGrid(const OpBuild& build) {
  return std::make_unique<AffineGridOp>(build);
}

}  // namespace espalier::runtime
