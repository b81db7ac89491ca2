#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "espalier/kernels/rows.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/normalize_parts.h"

namespace espalier::runtime {
namespace {

enum class Kind : std::uint8_t { kSoftmax, kLogSoftmax, kHardmax };

constexpr std::int64_t kColumns = 16;  // columns that are turned into rows at once: a cache line

template <typename T>
void Hardmax(const T* x, T* y, std::size_t count) {
  const std::size_t largest =
      static_cast<std::size_t>(std::max_element(x, x + count) - x);  // the first of equals
  std::fill(y, y + count, T{0});
  y[largest] = 1;
}

void Normalize(Kind kind, const float* x, float* y, std::size_t count) {
  if (kind == Kind::kSoftmax) return SoftmaxRow(x, y, count);
  if (kind == Kind::kLogSoftmax) return LogSoftmaxRow(x, y, count);
  Hardmax(x, y, count);
}

void Normalize(Kind kind, const double* x, double* y, std::size_t count) {
  if (kind == Kind::kHardmax) return Hardmax(x, y, count);
  const double max = *std::max_element(x, x + count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += std::exp(x[i] - max);
  for (std::size_t i = 0; i < count; ++i) {
    y[i] = kind == Kind::kSoftmax ? std::exp(x[i] - max) / sum : x[i] - max - std::log(sum);
  }
}

class SoftmaxOp final : public FloatOp {
 public:
  SoftmaxOp(const OpBuild& build, Kind kind)
      : kind_(kind), flatten_(build.opset() < 13), axis_(build.Int("axis", flatten_ ? 1 : -1)) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    CheckFloat(x, "the input of a softmax");
    AxisSplit split;
    if (x.rank() > 0) {
      split = SplitAt(x.dims, Axis(x.rank()));
    } else if (axis_ != 0 && axis_ != -1 && !flatten_) {
      CheckedAxis(axis_, 0);
    }
    if (flatten_) {  // before opset 13 all axes from `axis` on are one
      split.size *= split.inner;
      split.inner = 1;
      if (x.rank() > 0 && EndAxis(x.rank())) {
        split = {static_cast<std::int64_t>(x.Elements()), 1, 1};
      }
    }
    Value& y = context.Output(0, x.dtype, x.dims);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      NormalizeAll<double>(context, split, y.As<double>());
    } else {
      NormalizeAll<float>(context, split, y.As<float>());
    }
  }

 private:
  // Flattening allows `axis` to be the rank.
  bool EndAxis(std::size_t rank) const {
    return flatten_ && axis_ == static_cast<std::int64_t>(rank);
  }
  std::size_t Axis(std::size_t rank) const {
    return EndAxis(rank) ? rank - 1 : CheckedAxis(axis_, rank);
  }

  template <typename T>
  void NormalizeAll(OpContext& context, const AxisSplit& split, T* y) const {
    const T* x = context.In<T>(0);
    const std::int64_t work = 16 * split.outer * split.size * split.inner;
    const auto size = static_cast<std::size_t>(split.size);
    if (split.inner == 1) {
      ParallelRanges(context.threads(), split.outer, work,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         Normalize(kind_, x + i * split.size, y + i * split.size, size);
                       }
                     });
      return;
    }
    const int threads = std::max(1, context.threads());
    const std::size_t bytes = static_cast<std::size_t>(kColumns) * size * sizeof(T);
    auto* scratch =
        reinterpret_cast<T*>(context.Scratch(bytes * static_cast<std::size_t>(threads)));
    const std::int64_t blocks = (split.inner + kColumns - 1) / kColumns;
    const std::int64_t jobs = split.outer * blocks;
    const std::int64_t parts = work < (1 << 16) ? 1 : threads;
    ParallelRanges(threads, parts, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        T* rows = scratch + part * kColumns * split.size;
        for (std::int64_t job = part; job < jobs; job += parts) {
          const std::int64_t offset = job / blocks * split.size * split.inner;
          NormalizeColumns(split, job % blocks * kColumns, x + offset, y + offset, rows);
        }
      }
    });
  }

  // Up to kColumns columns from `first` on, by way of `rows`.
  template <typename T>
  void NormalizeColumns(const AxisSplit& split, std::int64_t first, const T* x, T* y,
                        T* rows) const {
    const std::int64_t columns = std::min(kColumns, split.inner - first);
    for (std::int64_t i = 0; i < split.size; ++i) {
      for (std::int64_t c = 0; c < columns; ++c) {
        rows[c * split.size + i] = x[i * split.inner + first + c];
      }
    }
    for (std::int64_t c = 0; c < columns; ++c) {
      T* row = rows + c * split.size;
      Normalize(kind_, row, row, static_cast<std::size_t>(split.size));
    }
    for (std::int64_t i = 0; i < split.size; ++i) {
      for (std::int64_t c = 0; c < columns; ++c) {
        y[i * split.inner + first + c] = rows[c * split.size + i];
      }
    }
  }

  const Kind kind_;
  const bool flatten_;
  const std::int64_t axis_;
};

}  // namespace

std::unique_ptr<Op> MakeSoftmax(const OpBuild& build) {
  return std::make_unique<SoftmaxOp>(build, Kind::kSoftmax);
}

std::unique_ptr<Op> MakeLogSoftmax(const OpBuild& build) {
  return std::make_unique<SoftmaxOp>(build, Kind::kLogSoftmax);
}

std::unique_ptr<Op> MakeHardmax(const OpBuild& build) {
  return std::make_unique<SoftmaxOp>(build, Kind::kHardmax);
}

}  // namespace espalier::runtime
