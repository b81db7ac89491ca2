#include <fmt/format.h>

#include "espalier/kernels/rows.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/normalize_parts.h"

namespace espalier::runtime {
namespace {

constexpr OpEntry kOps[] = {
    {"", "BatchNormalization", &MakeBatchNormalization},
    {"", "InstanceNormalization", &MakeInstanceNormalization},
    {"", "GroupNormalization", &MakeGroupNormalization},
    {"", "LayerNormalization", &MakeLayerNormalization},
    {"", "LRN", &MakeLrn},
    {"", "LpNormalization", &MakeLpNormalization},
    {"", "MeanVarianceNormalization", &MakeMeanVarianceNormalization},
    {"", "Softmax", &MakeSoftmax},
    {"", "LogSoftmax", &MakeLogSoftmax},
    {"", "Hardmax", &MakeHardmax},
};

}  // namespace

AxisSplit SplitAt(const Dims& dims, std::size_t axis) {
  AxisSplit split;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    (i < axis ? split.outer : i == axis ? split.size : split.inner) *= dims[i];
  }
  return split;
}

void ReadParameters(const Value& value, std::int64_t count, const char* what,
                    std::vector<double>* out) {
  CheckFloat(value, what);
  if (value.Elements() != static_cast<std::size_t>(count)) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} is {}, expected {}", what, DimsText(value.dims), count));
  }
  out->resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out->size(); ++i) {
    (*out)[i] = value.dtype == DType::kFloat64 ? value.As<double>()[i] : value.As<float>()[i];
  }
}

MomentsOf<float> MeasureRow(const float* x, std::int64_t count) {
  const Moments moments = RowMoments(x, static_cast<std::size_t>(count));
  return {moments.mean, moments.variance};
}

MomentsOf<double> MeasureRow(const double* x, std::int64_t count) {
  MomentsOf<double> moments;
  for (std::int64_t i = 0; i < count; ++i) moments.mean += x[i];
  moments.mean /= static_cast<double>(count);
  for (std::int64_t i = 0; i < count; ++i) {
    moments.variance += (x[i] - moments.mean) * (x[i] - moments.mean);
  }
  moments.variance /= static_cast<double>(count);
  return moments;
}

void ScaleAndShift(const float* x, double scale, double shift, float* y, std::int64_t count) {
  ScaleRow(x, static_cast<float>(scale), static_cast<float>(shift), y,
           static_cast<std::size_t>(count));
}

void ScaleAndShift(const double* x, double scale, double shift, double* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] * scale + shift;
}

std::span<const OpEntry> NormalizeOps() { return kOps; }

}  // namespace espalier::runtime
