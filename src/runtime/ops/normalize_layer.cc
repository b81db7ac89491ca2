#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "espalier/kernels/rows.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/normalize_parts.h"

namespace espalier::runtime {
namespace {

void Normalize(const float* x, float mean, float factor, const float* scale, const float* bias,
               float* y, std::int64_t count) {
  NormalizeRow(x, mean, factor, scale, bias, y, static_cast<std::size_t>(count));
}

void Normalize(const double* x, double mean, double factor, const double* scale, const double* bias,
               double* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = (x[i] - mean) * factor * (scale == nullptr ? 1 : scale[i]) +
           (bias == nullptr ? 0 : bias[i]);
  }
}

class LayerNormalizationOp final : public FloatOp {
 public:
  explicit LayerNormalizationOp(const OpBuild& build)
      : epsilon_(build.Float("epsilon", 1e-5f)), axis_(build.Int("axis", -1)) {}

 protected:
  bool StaysFloat32(std::size_t i) const override { return i > 0; }

  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    CheckFloat(x, "the input of LayerNormalization");
    const std::size_t axis = CheckedAxis(axis_, x.rank());
    row_dims_.assign(x.dims.begin() + static_cast<std::ptrdiff_t>(axis), x.dims.end());
    stat_dims_ = x.dims;
    std::fill(stat_dims_.begin() + static_cast<std::ptrdiff_t>(axis), stat_dims_.end(), 1);
    if (x.dtype == DType::kFloat64) {
      NormalizeRows<double>(context);
    } else {
      NormalizeRows<float>(context);
    }
  }

 private:
  template <typename T>
  void NormalizeRows(OpContext& context) {
    const std::int64_t size = ElementCount(row_dims_);
    const std::int64_t rows = ElementCount(stat_dims_);
    const T* scale = Expanded<T>(context, 1, &scale_);
    const T* bias = context.HasInput(2) ? Expanded<T>(context, 2, &bias_) : nullptr;
    const T* x = context.In<T>(0);
    T* y = context.Out<T>(0, context.Input(0).dtype, context.Input(0).dims);
    float* means =
        context.HasOutput(1) ? context.Out<float>(1, DType::kFloat32, stat_dims_) : nullptr;
    float* factors =
        context.HasOutput(2) ? context.Out<float>(2, DType::kFloat32, stat_dims_) : nullptr;
    if (size == 0) return;
    ParallelRanges(context.threads(), rows, rows * size, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto moments = MeasureRow(x + i * size, size);
        const T factor = 1 / std::sqrt(moments.variance + static_cast<T>(epsilon_));
        Normalize(x + i * size, moments.mean, factor, scale, bias, y + i * size, size);
        if (means != nullptr) means[i] = static_cast<float>(moments.mean);
        if (factors != nullptr) factors[i] = static_cast<float>(factor);
      }
    });
  }

  // Input `i` broadcast to a row.
  template <typename T>
  const T* Expanded(const OpContext& context, std::size_t i, AlignedBuffer* buffer) const {
    const Value& value = context.Input(i);
    const Dims& dims = value.dims;
    const std::size_t skipped = row_dims_.size() - std::min(row_dims_.size(), dims.size());
    bool fits = value.dtype == context.Input(0).dtype && dims.size() <= row_dims_.size();
    bool same = fits && skipped == 0;
    for (std::size_t k = 0; fits && k < dims.size(); ++k) {
      fits = dims[k] == row_dims_[k + skipped] || dims[k] == 1;
      same = same && dims[k] == row_dims_[k + skipped];
    }
    if (!fits) {
      throw Error(
          ErrorCode::kBadFile,
          fmt::format("input {} is {} {}, the normalized part is {} {}", i, DTypeName(value.dtype),
                      DimsText(dims), DTypeName(context.Input(0).dtype), DimsText(row_dims_)));
    }
    if (same) return value.As<T>();
    const std::int64_t count = ElementCount(row_dims_);
    T* out = reinterpret_cast<T*>(buffer->Reserve(static_cast<std::size_t>(count) * sizeof(T)));
    for (std::int64_t at = 0; at < count; ++at) {
      std::int64_t rest = at, from = 0, stride = 1;
      for (std::size_t k = dims.size(); k > 0; --k) {
        if (dims[k - 1] != 1) from += rest % row_dims_[k - 1 + skipped] * stride;
        rest /= row_dims_[k - 1 + skipped];
        stride *= dims[k - 1];
      }
      out[at] = value.As<T>()[from];
    }
    return out;
  }

  const float epsilon_;
  const std::int64_t axis_;
  Dims row_dims_, stat_dims_;
  AlignedBuffer scale_, bias_;
};

}  // namespace

std::unique_ptr<Op> MakeLayerNormalization(const OpBuild& build) {
  return std::make_unique<LayerNormalizationOp>(build);
}

}  // namespace espalier::runtime
