#pragma once

#include <memory>

#include "runtime/op.h"
#include "runtime/ops/conv_window.h"

namespace espalier::runtime {

std::unique_ptr<Op> MakeMaxPool(const OpBuild& build);
std::unique_ptr<Op> MakeAveragePool(const OpBuild& build);
std::unique_ptr<Op> MakeLpPool(const OpBuild& build);
std::unique_ptr<Op> MakeGlobalAveragePool(const OpBuild& build);
std::unique_ptr<Op> MakeGlobalMaxPool(const OpBuild& build);
std::unique_ptr<Op> MakeGlobalLpPool(const OpBuild& build);
std::unique_ptr<Op> MakeMaxUnpool(const OpBuild& build);
std::unique_ptr<Op> MakeMaxRoiPool(const OpBuild& build);
std::unique_ptr<Op> MakeRoiAlign(const OpBuild& build);

/// A pooling with its sizes known: planes [batch * channels] and the window over each.
struct PoolPlan {
  std::int64_t planes = 0;
  Window3d window;
  Dims y_dims;
};

/// @throws Error  kBadFile if the input and the window do not fit.
void PlacePool(const WindowAttributes& attributes, const Value& x, std::vector<WindowAxis>* axes,
               PoolPlan* plan);

/// float32 max or average without dilation, by rows. Averages divide by the window's elements
/// inside the input, or inside the padded input.
void PoolRows(OpContext& context, const PoolPlan& plan, bool max, bool count_padding,
              const float* x, float* y);

/// Positions of a window that count for an average along one axis.
std::int64_t CountedPositions(const WindowAxis& axis, std::int64_t out, bool count_padding);

}  // namespace espalier::runtime
