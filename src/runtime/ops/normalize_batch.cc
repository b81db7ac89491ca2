#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/normalize_parts.h"

namespace espalier::runtime {
namespace {

// [batch, channels, rest...] seen as planes.
struct Planes {
  std::int64_t batch = 0, channels = 0, size = 0;
};

Planes PlanesOf(const Value& x) {
  CheckFloat(x, "the input of a normalization");
  if (x.rank() < 2) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("a normalization of channels of {}", DimsText(x.dims)));
  }
  const AxisSplit split = SplitAt(x.dims, 1);
  return {split.outer, split.size, split.inner};
}

// Calls body(image, channel, x, y) for each plane.
template <typename T, typename Body>
void ForPlanes(int threads, const Planes& planes, const T* x, T* y, const Body& body) {
  const std::int64_t count = planes.batch * planes.channels;
  ParallelRanges(threads, count, count * planes.size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      body(i / planes.channels, i % planes.channels, x + i * planes.size, y + i * planes.size);
    }
  });
}

class BatchNormalizationOp final : public FloatOp {
 public:
  explicit BatchNormalizationOp(const OpBuild& build) : epsilon_(build.Float("epsilon", 1e-5f)) {
    if (build.Int("training_mode", 0) != 0) build.Refuse("training_mode");
    if (build.opset() < 7 && build.Int("is_test", 0) == 0) build.Refuse("is_test 0");
    if (build.Int("spatial", 1) == 0) build.Refuse("spatial 0");
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Planes planes = PlanesOf(x);
    ReadParameters(context.Input(1), planes.channels, "the scale", &scale_);
    ReadParameters(context.Input(2), planes.channels, "the bias", &shift_);
    ReadParameters(context.Input(3), planes.channels, "the mean", &mean_);
    ReadParameters(context.Input(4), planes.channels, "the variance", &variance_);
    for (std::size_t c = 0; c < scale_.size(); ++c) {
      scale_[c] /= std::sqrt(variance_[c] + double{epsilon_});
      shift_[c] -= mean_[c] * scale_[c];
    }
    Value& y = context.Output(0, x.dtype, x.dims);
    if (x.dtype == DType::kFloat64) {
      Normalize<double>(context, planes, y.As<double>());
    } else {
      Normalize<float>(context, planes, y.As<float>());
    }
    // Before opset 14 the statistics come out, too: as they went in, without training.
    for (std::size_t i = 1; i < context.OutputCount(); ++i) {
      if (!context.HasOutput(i)) continue;
      const Value& from = context.Input(i % 2 == 1 ? 3 : 4);
      Value& to = context.Output(i, from.dtype, from.dims);
      std::memcpy(to.data, from.data, from.Bytes());
    }
  }

 private:
  template <typename T>
  void Normalize(OpContext& context, const Planes& planes, T* y) const {
    ForPlanes(context.threads(), planes, context.In<T>(0), y,
              [&](std::int64_t, std::int64_t channel, const T* from, T* to) {
                const auto c = static_cast<std::size_t>(channel);
                ScaleAndShift(from, scale_[c], shift_[c], to, planes.size);
              });
  }

  const float epsilon_;
  std::vector<double> scale_, shift_, mean_, variance_;
};

class InstanceNormalizationOp final : public FloatOp {
 public:
  explicit InstanceNormalizationOp(const OpBuild& build)
      : epsilon_(build.Float("epsilon", 1e-5f)) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Planes planes = PlanesOf(x);
    ReadParameters(context.Input(1), planes.channels, "the scale", &scale_);
    ReadParameters(context.Input(2), planes.channels, "the bias", &bias_);
    Value& y = context.Output(0, x.dtype, x.dims);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      Normalize<double>(context, planes, y.As<double>());
    } else {
      Normalize<float>(context, planes, y.As<float>());
    }
  }

 private:
  template <typename T>
  void Normalize(OpContext& context, const Planes& planes, T* y) const {
    ForPlanes(
        context.threads(), planes, context.In<T>(0), y,
        [&](std::int64_t, std::int64_t channel, const T* from, T* to) {
          const auto c = static_cast<std::size_t>(channel);
          const auto moments = MeasureRow(from, planes.size);
          const double factor = scale_[c] / std::sqrt(double{moments.variance} + double{epsilon_});
          ScaleAndShift(from, factor, bias_[c] - double{moments.mean} * factor, to, planes.size);
        });
  }

  const float epsilon_;
  std::vector<double> scale_, bias_;
};

// Scale and bias are per group in opset 18 and per channel from 21 on.
class GroupNormalizationOp final : public FloatOp {
 public:
  explicit GroupNormalizationOp(const OpBuild& build)
      : epsilon_(build.Float("epsilon", 1e-5f)),
        groups_(build.Int("num_groups", 0)),
        per_group_(build.opset() < 21) {
    if (groups_ < 1) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{}: num_groups {}", NodeText(build.node()), groups_));
    }
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Planes planes = PlanesOf(x);
    if (planes.channels % groups_ != 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} channels in {} groups", planes.channels, groups_));
    }
    const std::int64_t count = per_group_ ? groups_ : planes.channels;
    ReadParameters(context.Input(1), count, "the scale", &scale_);
    ReadParameters(context.Input(2), count, "the bias", &bias_);
    Value& y = context.Output(0, x.dtype, x.dims);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      Normalize<double>(context, planes, y.As<double>());
    } else {
      Normalize<float>(context, planes, y.As<float>());
    }
  }

 private:
  template <typename T>
  void Normalize(OpContext& context, const Planes& planes, T* y) const {
    const std::int64_t channels = planes.channels / groups_;
    const Planes wide{planes.batch, groups_, channels * planes.size};
    ForPlanes(
        context.threads(), wide, context.In<T>(0), y,
        [&](std::int64_t, std::int64_t group, const T* from, T* to) {
          const auto moments = MeasureRow(from, wide.size);
          const double inverse = 1 / std::sqrt(double{moments.variance} + double{epsilon_});
          for (std::int64_t i = 0; i < channels; ++i) {
            const auto c = static_cast<std::size_t>(per_group_ ? group : group * channels + i);
            const double factor = scale_[c] * inverse;
            ScaleAndShift(from + i * planes.size, factor, bias_[c] - double{moments.mean} * factor,
                          to + i * planes.size, planes.size);
          }
        });
  }

  const float epsilon_;
  const std::int64_t groups_;
  const bool per_group_;
  std::vector<double> scale_, bias_;
};

}  // namespace

std::unique_ptr<Op> MakeBatchNormalization(const OpBuild& build) {
  return std::make_unique<BatchNormalizationOp>(build);
}

std::unique_ptr<Op> MakeInstanceNormalization(const OpBuild& build) {
  return std::make_unique<InstanceNormalizationOp>(build);
}

std::unique_ptr<Op> MakeGroupNormalization(const OpBuild& build) {
  return std::make_unique<GroupNormalizationOp>(build);
}

}  // namespace espalier::runtime
