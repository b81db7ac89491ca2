#pragma once

#include <memory>
#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

std::unique_ptr<Op> MakeBatchNormalization(const OpBuild& build);
std::unique_ptr<Op> MakeInstanceNormalization(const OpBuild& build);
std::unique_ptr<Op> MakeGroupNormalization(const OpBuild& build);
std::unique_ptr<Op> MakeLayerNormalization(const OpBuild& build);
std::unique_ptr<Op> MakeLrn(const OpBuild& build);
std::unique_ptr<Op> MakeLpNormalization(const OpBuild& build);
std::unique_ptr<Op> MakeMeanVarianceNormalization(const OpBuild& build);
std::unique_ptr<Op> MakeSoftmax(const OpBuild& build);
std::unique_ptr<Op> MakeLogSoftmax(const OpBuild& build);
std::unique_ptr<Op> MakeHardmax(const OpBuild& build);

/// A tensor as [outer, size, inner] around one axis.
struct AxisSplit {
  std::int64_t outer = 1, size = 1, inner = 1;
};
AxisSplit SplitAt(const Dims& dims, std::size_t axis);

/// The elements of a float32 or float64 vector of `count`.
/// @throws Error  kBadFile for another size or type; `what` names the vector.
void ReadParameters(const Value& value, std::int64_t count, const char* what,
                    std::vector<double>* out);

/// Mean and variance of `count` elements, and the row (x - mean) * factor + shift.
template <typename T>
struct MomentsOf {
  T mean = 0;
  T variance = 0;
};
MomentsOf<float> MeasureRow(const float* x, std::int64_t count);
MomentsOf<double> MeasureRow(const double* x, std::int64_t count);
void ScaleAndShift(const float* x, double scale, double shift, float* y, std::int64_t count);
void ScaleAndShift(const double* x, double scale, double shift, double* y, std::int64_t count);

}  // namespace espalier::runtime
