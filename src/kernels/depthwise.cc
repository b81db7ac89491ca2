#include "espalier/kernels/depthwise.h"

#include "kernels/depthwise_kernels.h"

namespace espalier {

void DepthwiseConv(const DepthwiseShape& shape, const DepthwiseWeights& weights,
                   const DepthwiseInput& input, const DepthwiseOutput& output,
                   const DepthwiseRange& range) noexcept {
  if (range.channel_begin >= range.channel_end || range.row_begin >= range.row_end ||
      shape.out_w == 0) {
    return;
  }
  const DepthwiseCall call = {shape, weights, input, output, range};
  if (!DepthwiseDirect(call)) DepthwisePacked(call);
}

}  // namespace espalier
