#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/normalize_parts.h"

namespace espalier::runtime {
namespace {

// x / (bias + alpha / size * sum of squares of `size` neighbouring channels) ^ beta.
class LrnOp final : public FloatOp {
 public:
  explicit LrnOp(const OpBuild& build)
      : alpha_(build.Float("alpha", 1e-4f)),
        beta_(build.Float("beta", 0.75f)),
        bias_(build.Float("bias", 1)),
        size_(build.Int("size", 0)) {
    if (size_ < 1) {
      throw Error(ErrorCode::kBadFile, fmt::format("{}: size {}", NodeText(build.node()), size_));
    }
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    CheckFloat(x, "the input of LRN");
    if (x.rank() < 2) {
      throw Error(ErrorCode::kBadFile, fmt::format("LRN of {}", DimsText(x.dims)));
    }
    Value& y = context.Output(0, x.dtype, x.dims);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      Normalize<double>(context, y.As<double>());
    } else {
      Normalize<float>(context, y.As<float>());
    }
  }

 private:
  template <typename T>
  void Normalize(OpContext& context, T* y) const {
    const AxisSplit split = SplitAt(context.Input(0).dims, 1);
    const T* x = context.In<T>(0);
    const T factor = static_cast<T>(alpha_) / static_cast<T>(size_);
    const std::int64_t planes = split.outer * split.size;
    const std::int64_t before = (size_ - 1) / 2;
    const std::int64_t work = planes * split.inner * std::min(size_, split.size);
    ParallelRanges(context.threads(), planes, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t c = i % split.size;
        const std::int64_t first = std::max<std::int64_t>(0, c - before);
        const std::int64_t last =
            c - before > split.size - size_ ? split.size - 1 : c - before + size_ - 1;
        T* out = y + i * split.inner;
        std::fill(out, out + split.inner, T{0});
        for (std::int64_t k = first; k <= last; ++k) {
          const T* from = x + (i - c + k) * split.inner;
          for (std::int64_t j = 0; j < split.inner; ++j) out[j] += from[j] * from[j];
        }
        Divide(x + i * split.inner, factor, out, split.inner);
      }
    });
  }

  template <typename T>
  void Divide(const T* x, T factor, T* out, std::int64_t count) const {
    const T bias = static_cast<T>(bias_);
    if (beta_ == 0.75f) {  // everybody's value, without pow()
      for (std::int64_t j = 0; j < count; ++j) {
        const T root = std::sqrt(bias + factor * out[j]);
        out[j] = x[j] / (root * std::sqrt(root));
      }
      return;
    }
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = x[j] / std::pow(bias + factor * out[j], static_cast<T>(beta_));
    }
  }

  const float alpha_, beta_, bias_;
  const std::int64_t size_;
};

class LpNormalizationOp final : public FloatOp {
 public:
  explicit LpNormalizationOp(const OpBuild& build)
      : axis_(build.Int("axis", -1)), p_(build.Int("p", 2)) {
    if (p_ != 1 && p_ != 2) build.Refuse(fmt::format("p {}", p_));
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    CheckFloat(x, "the input of LpNormalization");
    const AxisSplit split = SplitAt(x.dims, CheckedAxis(axis_, x.rank()));
    Value& y = context.Output(0, x.dtype, x.dims);
    if (x.dtype == DType::kFloat64) {
      Normalize(split, x.As<double>(), y.As<double>());
    } else {
      Normalize(split, x.As<float>(), y.As<float>());
    }
  }

 private:
  template <typename T>
  void Normalize(const AxisSplit& split, const T* x, T* y) const {
    for (std::int64_t o = 0; o < split.outer; ++o) {
      for (std::int64_t i = 0; i < split.inner; ++i) {
        const std::int64_t begin = o * split.size * split.inner + i;
        double sum = 0;
        for (std::int64_t k = 0; k < split.size; ++k) {
          const double v = x[begin + k * split.inner];
          sum += p_ == 1 ? std::abs(v) : v * v;
        }
        const double norm = p_ == 1 ? sum : std::sqrt(sum);
        for (std::int64_t k = 0; k < split.size; ++k) {
          const std::int64_t at = begin + k * split.inner;
          y[at] = norm == 0 ? T{0} : static_cast<T>(x[at] / norm);
        }
      }
    }
  }

  const std::int64_t axis_, p_;
};

// (x - mean) / (deviation + 1e-9) over any axes.
class MeanVarianceNormalizationOp final : public FloatOp {
 public:
  explicit MeanVarianceNormalizationOp(const OpBuild& build)
      : axes_(build.Ints("axes", {0, 2, 3})) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    CheckFloat(x, "the input of MeanVarianceNormalization");
    reduced_.assign(x.rank(), false);
    for (const std::int64_t axis : axes_) reduced_[CheckedAxis(axis, x.rank())] = true;
    Offsets(x.dims, reduced_, true, &inside_);
    Offsets(x.dims, reduced_, false, &outside_);
    Value& y = context.Output(0, x.dtype, x.dims);
    if (x.dtype == DType::kFloat64) {
      Normalize(x.As<double>(), y.As<double>());
    } else {
      Normalize(x.As<float>(), y.As<float>());
    }
  }

 private:
  // Offsets of all combinations of the axes with reduced[axis] == which.
  static void Offsets(const Dims& dims, const std::vector<bool>& reduced, bool which,
                      std::vector<std::int64_t>* offsets) {
    offsets->assign(1, 0);
    std::int64_t stride = 1;
    for (std::size_t axis = dims.size(); axis > 0; --axis) {
      if (reduced[axis - 1] == which) {
        const std::size_t count = offsets->size();
        if (dims[axis - 1] == 0) offsets->clear();
        for (std::int64_t i = 1; i < dims[axis - 1]; ++i) {
          for (std::size_t k = 0; k < count; ++k) offsets->push_back((*offsets)[k] + i * stride);
        }
      }
      stride *= dims[axis - 1];
    }
  }

  template <typename T>
  void Normalize(const T* x, T* y) const {
    const auto count = static_cast<double>(inside_.size());
    for (const std::int64_t begin : outside_) {
      double mean = 0, squares = 0;
      for (const std::int64_t i : inside_) mean += x[begin + i] / count;
      for (const std::int64_t i : inside_) {
        squares += (x[begin + i] - mean) * (x[begin + i] - mean) / count;
      }
      const double factor = 1 / (std::sqrt(squares) + 1e-9);
      for (const std::int64_t i : inside_) {
        y[begin + i] = static_cast<T>((x[begin + i] - mean) * factor);
      }
    }
  }

  const std::vector<std::int64_t> axes_;
  std::vector<bool> reduced_;
  std::vector<std::int64_t> inside_, outside_;
};

}  // namespace

std::unique_ptr<Op> MakeLrn(const OpBuild& build) { return std::make_unique<LrnOp>(build); }

std::unique_ptr<Op> MakeLpNormalization(const OpBuild& build) {
  return std::make_unique<LpNormalizationOp>(build);
}

std::unique_ptr<Op> MakeMeanVarianceNormalization(const OpBuild& build) {
  return std::make_unique<MeanVarianceNormalizationOp>(build);
}

}  // namespace espalier::runtime
