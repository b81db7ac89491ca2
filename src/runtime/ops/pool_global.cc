#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/kernels/rows.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/normalize_parts.h"
#include "runtime/ops/pool_parts.h"

namespace espalier::runtime {
namespace {

enum class Kind : std::uint8_t { kAverage, kMax, kLp };

// One number a plane.
class GlobalPoolOp final : public FloatOp {
 public:
  GlobalPoolOp(const OpBuild& build, Kind kind)
      : kind_(kind), p_(static_cast<double>(build.Int("p", 2))) {
    if (p_ < 1) build.Refuse(fmt::format("p {}", p_));
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    CheckFloat(x, "the input of a global pooling");
    if (x.rank() < 2) {
      throw Error(ErrorCode::kBadFile, fmt::format("a global pooling of {}", DimsText(x.dims)));
    }
    y_dims_.assign(x.rank(), 1);
    std::copy_n(x.dims.begin(), 2, y_dims_.begin());
    Value& y = context.Output(0, x.dtype, y_dims_);
    if (x.dtype == DType::kFloat64) {
      Pool(context, x.As<double>(), y.As<double>());
    } else {
      Pool(context, x.As<float>(), y.As<float>());
    }
  }

 private:
  template <typename T>
  void Pool(OpContext& context, const T* x, T* y) const {
    const Dims& dims = context.Input(0).dims;
    const std::int64_t planes = dims[0] * dims[1];
    const std::int64_t size = planes == 0 ? 0 : ElementCount(dims) / planes;
    if (size == 0 && planes > 0) {
      throw Error(ErrorCode::kBadFile, fmt::format("a global pooling of {}", DimsText(dims)));
    }
    ParallelRanges(context.threads(), planes, planes * size,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i)
                       y[i] = PoolPlane(x + i * size, size);
                   });
  }

  // A NaN stays where it is the last element, as in PoolKind::kMax.
  template <typename T>
  static T MaxOf(const T* x, std::int64_t size) {
    const auto larger = [](T a, T b) { return a > b ? a : b; };
    T lanes[8];  // independent maxima, which the compiler makes vectors of
    std::fill(lanes, lanes + 8, -std::numeric_limits<T>::infinity());
    std::int64_t i = 0;
    for (; i + 8 <= size; i += 8) {
      for (int lane = 0; lane < 8; ++lane) lanes[lane] = larger(lanes[lane], x[i + lane]);
    }
    T max = lanes[0];
    for (int lane = 1; lane < 8; ++lane) max = larger(max, lanes[lane]);
    for (; i < size; ++i) max = larger(max, x[i]);
    return max;
  }

  template <typename T>
  T PoolPlane(const T* x, std::int64_t size) const {
    if (kind_ == Kind::kMax) return MaxOf(x, size);
    if (kind_ == Kind::kAverage) {
      double sum = 0;
      std::int64_t i = 0;
      T lanes[8] = {};  // independent sums, which the compiler makes vectors of
      for (std::int64_t end = 0; i + 8 <= size;) {
        for (end = std::min(i + 4096, size); i + 8 <= end; i += 8) {
          for (int lane = 0; lane < 8; ++lane) lanes[lane] += x[i + lane];
        }
        for (T& lane : lanes) {
          sum += lane;
          lane = 0;
        }
      }
      for (; i < size; ++i) sum += x[i];
      return static_cast<T>(sum / static_cast<double>(size));
    }
    double sum = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const double v = std::abs(static_cast<double>(x[i]));
      sum += p_ == 2 ? v * v : std::pow(v, p_);
    }
    return static_cast<T>(p_ == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p_));
  }

  const Kind kind_;
  const double p_;
  Dims y_dims_;
};

}  // namespace

std::unique_ptr<Op> MakeGlobalAveragePool(const OpBuild& build) {
  return std::make_unique<GlobalPoolOp>(build, Kind::kAverage);
}

std::unique_ptr<Op> MakeGlobalMaxPool(const OpBuild& build) {
  return std::make_unique<GlobalPoolOp>(build, Kind::kMax);
}

std::unique_ptr<Op> MakeGlobalLpPool(const OpBuild& build) {
  return std::make_unique<GlobalPoolOp>(build, Kind::kLp);
}

}  // namespace espalier::runtime
