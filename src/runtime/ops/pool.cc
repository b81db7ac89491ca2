#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/pool_parts.h"

namespace espalier::runtime {
namespace {

// Calls body(offset) for the input position of each window element that lies inside.
template <typename Body>
void ForWindow(const Window3d& window, std::int64_t d, std::int64_t h, std::int64_t w,
               const Body& body) {
  const KernelRange range_d = InsideRange(window.d, d);
  const KernelRange range_h = InsideRange(window.h, h);
  const KernelRange range_w = InsideRange(window.w, w);
  const auto place = [](const WindowAxis& axis, std::int64_t out, std::int64_t k) {
    return out * axis.stride - axis.pad_begin + k * axis.dilation;
  };
  for (std::int64_t kd = range_d.begin; kd < range_d.end; ++kd) {
    for (std::int64_t kh = range_h.begin; kh < range_h.end; ++kh) {
      const std::int64_t row =
          (place(window.d, d, kd) * window.h.in + place(window.h, h, kh)) * window.w.in;
      for (std::int64_t kw = range_w.begin; kw < range_w.end; ++kw) {
        body(row + place(window.w, w, kw));
      }
    }
  }
}

// Calls body(plane, d, h, w, out) for each output element; planes on several threads.
template <typename Body>
void ForOutputs(int threads, const PoolPlan& plan, const Body& body) {
  const Window3d& window = plan.window;
  const std::int64_t work = plan.planes * window.Out() * window.Kernel();
  ParallelRanges(threads, plan.planes, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      std::int64_t out = p * window.Out();
      for (std::int64_t d = 0; d < window.d.out; ++d) {
        for (std::int64_t h = 0; h < window.h.out; ++h) {
          for (std::int64_t w = 0; w < window.w.out; ++w) body(p, d, h, w, out++);
        }
      }
    }
  });
}

// Windows of neighbours, and not much wider than what they look at.
bool SuitsRows(const Window3d& window) {
  return window.d.dilation == 1 && window.h.dilation == 1 && window.w.dilation == 1 &&
         window.w.kernel <= 2 * window.w.in + 16 && window.w.pad_begin < window.w.kernel;
}

class PoolOp : public FloatOp {
 public:
  explicit PoolOp(const OpBuild& build) : attributes_(build) {
    if (attributes_.kernel.empty()) {
      throw Error(ErrorCode::kBadFile, fmt::format("{}: no kernel_shape", NodeText(build.node())));
    }
  }

 protected:
  const Value& Place(OpContext& context) {
    const Value& x = context.Input(0);
    PlacePool(attributes_, x, &axes_, &plan_);
    return x;
  }

  const WindowAttributes attributes_;
  std::vector<WindowAxis> axes_;
  PoolPlan plan_;
};

class MaxPoolOp final : public PoolOp {
 public:
  explicit MaxPoolOp(const OpBuild& build)
      : PoolOp(build), column_major_(build.Int("storage_order", 0) != 0) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = Place(context);
    Value& y = context.Output(0, x.dtype, plan_.y_dims);
    std::int64_t* indices =
        context.HasOutput(1) ? context.Out<std::int64_t>(1, DType::kInt64, plan_.y_dims) : nullptr;
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat32 && indices == nullptr && SuitsRows(plan_.window)) {
      return PoolRows(context, plan_, /*max=*/true, false, x.As<float>(), y.As<float>());
    }
    using Types = TypeList<float, double, std::int8_t, std::uint8_t>;
    Dispatch(Types(), x.dtype, [&]<typename T>() { Pool(context, x.As<T>(), y.As<T>(), indices); });
  }

 private:
  template <typename T>
  void Pool(OpContext& context, const T* x, T* y, std::int64_t* indices) const {
    constexpr T kLowest = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                               : std::numeric_limits<T>::lowest();
    ForOutputs(
        context.threads(), plan_,
        [&](std::int64_t p, std::int64_t d, std::int64_t h, std::int64_t w, std::int64_t out) {
          const T* plane = x + p * plan_.window.In();
          T best = kLowest;
          std::int64_t at = -1;
          ForWindow(plan_.window, d, h, w, [&](std::int64_t i) {
            if (plane[i] > best || at < 0) {
              best = plane[i];
              at = i;
            }
          });
          y[out] = best;
          if (indices != nullptr) indices[out] = p * plan_.window.In() + Stored(at);
        });
  }

  // A position of a plane counted with the first axis fastest, if so asked.
  std::int64_t Stored(std::int64_t at) const {
    if (!column_major_ || at < 0) return std::max<std::int64_t>(at, 0);
    const Window3d& window = plan_.window;
    const std::int64_t w = at % window.w.in;
    const std::int64_t h = at / window.w.in % window.h.in;
    const std::int64_t d = at / window.w.in / window.h.in;
    return axes_.size() < 3 ? w * window.h.in + h : (w * window.h.in + h) * window.d.in + d;
  }

  const bool column_major_;
};

class AveragePoolOp final : public PoolOp {
 public:
  explicit AveragePoolOp(const OpBuild& build)
      : PoolOp(build), count_padding_(build.Int("count_include_pad", 0) != 0) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = Place(context);
    CheckFloat(x, "the input of AveragePool");
    Value& y = context.Output(0, x.dtype, plan_.y_dims);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      Pool(context, x.As<double>(), y.As<double>());
    } else if (!SuitsRows(plan_.window)) {
      Pool(context, x.As<float>(), y.As<float>());
    } else {
      PoolRows(context, plan_, /*max=*/false, count_padding_, x.As<float>(), y.As<float>());
    }
  }

 private:
  template <typename T>
  void Pool(OpContext& context, const T* x, T* y) const {
    const Window3d& window = plan_.window;
    ForOutputs(
        context.threads(), plan_,
        [&](std::int64_t p, std::int64_t d, std::int64_t h, std::int64_t w, std::int64_t out) {
          T sum = 0;
          ForWindow(window, d, h, w, [&](std::int64_t i) { sum += x[p * window.In() + i]; });
          const std::int64_t count = CountedPositions(window.d, d, count_padding_) *
                                     CountedPositions(window.h, h, count_padding_) *
                                     CountedPositions(window.w, w, count_padding_);
          y[out] = sum / static_cast<T>(count);
        });
  }

  const bool count_padding_;
};

// (sum of |x|^p)^(1/p).
class LpPoolOp final : public PoolOp {
 public:
  explicit LpPoolOp(const OpBuild& build)
      : PoolOp(build), p_(static_cast<double>(build.Int("p", 2))) {
    if (p_ < 1) build.Refuse(fmt::format("p {}", p_));
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = Place(context);
    CheckFloat(x, "the input of LpPool");
    Value& y = context.Output(0, x.dtype, plan_.y_dims);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      Pool(context, x.As<double>(), y.As<double>());
    } else {
      Pool(context, x.As<float>(), y.As<float>());
    }
  }

 private:
  template <typename T>
  void Pool(OpContext& context, const T* x, T* y) const {
    ForOutputs(
        context.threads(), plan_,
        [&](std::int64_t p, std::int64_t d, std::int64_t h, std::int64_t w, std::int64_t out) {
          double sum = 0;
          ForWindow(plan_.window, d, h, w, [&](std::int64_t i) {
            const double v = std::abs(static_cast<double>(x[p * plan_.window.In() + i]));
            sum += p_ == 2 ? v * v : std::pow(v, p_);
          });
          y[out] = static_cast<T>(p_ == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p_));
        });
  }

  const double p_;
};

constexpr OpEntry kOps[] = {
    {"", "MaxPool", &MakeMaxPool},
    {"", "AveragePool", &MakeAveragePool},
    {"", "LpPool", &MakeLpPool},
    {"", "GlobalAveragePool", &MakeGlobalAveragePool},
    {"", "GlobalMaxPool", &MakeGlobalMaxPool},
    {"", "GlobalLpPool", &MakeGlobalLpPool},
    {"", "MaxUnpool", &MakeMaxUnpool},
    {"", "MaxRoiPool", &MakeMaxRoiPool},
    {"", "RoiAlign", &MakeRoiAlign},
};

}  // namespace

void PlacePool(const WindowAttributes& attributes, const Value& x, std::vector<WindowAxis>* axes,
               PoolPlan* plan) {
  if (x.rank() < 3) {
    throw Error(ErrorCode::kBadFile, fmt::format("a pooling of {}", DimsText(x.dims)));
  }
  PlaceWindow(attributes, std::span(x.dims).subspan(2), attributes.kernel, axes);
  plan->planes = x.dims[0] * x.dims[1];
  plan->window = AsWindow3d(*axes);
  plan->y_dims.assign({x.dims[0], x.dims[1]});
  for (const WindowAxis& axis : *axes) plan->y_dims.push_back(axis.out);
}

std::unique_ptr<Op> MakeMaxPool(const OpBuild& build) { return std::make_unique<MaxPoolOp>(build); }

std::unique_ptr<Op> MakeAveragePool(const OpBuild& build) {
  return std::make_unique<AveragePoolOp>(build);
}

std::unique_ptr<Op> MakeLpPool(const OpBuild& build) { return std::make_unique<LpPoolOp>(build); }

std::span<const OpEntry> PoolOps() { return kOps; }

}  // namespace espalier::runtime
