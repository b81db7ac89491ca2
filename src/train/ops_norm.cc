#include <ATen/WrapDimUtils.h>

#include <utility>

#include "train/batch_norm.h"
#include "train/op_table.h"

namespace espalier::train {

at::Tensor BatchNorm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                     at::Tensor mean, at::Tensor variance, double epsilon, double keep,
                     bool training) {
  // One value a channel has no deviation; torch's Python refuses it.
  if (!training || x.numel() <= x.size(1)) {
    return at::batch_norm(x, scale, shift, mean, variance, /*training=*/false, 0, epsilon,
                          /*cudnn_enabled=*/true);
  }
  // Without running statistics: torch's own update would store n/(n-1) times the variance.
  auto [y, batch_mean, inverse_deviation] =
      at::native_batch_norm(x, scale, shift, {}, {}, /*training=*/true, 0, epsilon);
  const at::NoGradGuard no_grad;
  const at::Tensor batch_variance = (inverse_deviation.pow(-2) - epsilon).clamp_min_(0);
  mean.mul_(keep).add_(batch_mean, 1 - keep);
  variance.mul_(keep).add_(batch_variance, 1 - keep);
  return y;
}

namespace {

Outputs BatchNormalization(const OpCall& call) {
  return {BatchNorm(call.inputs[0], call.inputs[1], call.inputs[2], call.inputs[3], call.inputs[4],
                    call.Float("epsilon", 1e-5f), call.Float("momentum", 0.9f), call.training)};
}

std::string RefuseOldBatchNorm(const Node& node) {
  if (IntAttribute(node, "spatial", 1) != 1) return "spatial = 0";
  for (std::size_t i = 1; i < node.outputs.size(); ++i) {
    if (!node.outputs[i].empty() && IntAttribute(node, "training_mode", 0) == 0)
      return "outputs other than the normalised values";
  }
  return "";
}

Outputs InstanceNormalization(const OpCall& call) {
  return {at::instance_norm(call.inputs[0], call.inputs[1], call.inputs[2], {}, {},
                            /*use_input_stats=*/true, 0, call.Float("epsilon", 1e-5f),
                            /*cudnn_enabled=*/true)};
}

Outputs LayerNormalization(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t axis = at::maybe_wrap_dim(call.Int("axis", -1), x.dim());
  const at::IntArrayRef shape = x.sizes().slice(static_cast<std::size_t>(axis));
  const auto full = [&](const at::Tensor& vector) {
    return vector.defined() ? vector.expand(shape) : vector;
  };
  return {
      at::layer_norm(x, shape, full(call.In(1)), full(call.In(2)), call.Float("epsilon", 1e-5f))};
}

std::string RefuseStatistics(const Node& node) {
  for (std::size_t i = 1; i < node.outputs.size(); ++i) {
    if (!node.outputs[i].empty()) return "outputs other than the normalised values";
  }
  return "";
}

// Until opset 20 scale and bias were one a group, later one a channel.
Outputs GroupNormalization(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t groups = call.Int("num_groups", 1);
  if (call.inputs[1].dim() != 1 || call.inputs[1].numel() == 0 || call.inputs[2].dim() != 1 ||
      call.inputs[2].numel() == 0)
    ThrowMalformed(call.node, "has a scale or bias that is no vector");
  const auto per_channel = [&](const at::Tensor& vector) {
    return vector.size(0) == x.size(1) ? vector
                                       : vector.repeat_interleave(x.size(1) / vector.size(0));
  };
  return {at::group_norm(x, groups, per_channel(call.inputs[1]), per_channel(call.inputs[2]),
                         call.Float("epsilon", 1e-5f))};
}

Outputs LpNormalization(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  return {x / at::norm(x, call.Int("p", 2), call.Int("axis", -1), /*keepdim=*/true)};
}

// Over a window of channels; the file's alpha is divided by the window's size, as torch does.
Outputs Lrn(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t size = call.Int("size", 1);
  const at::Tensor square = (x * x).reshape({x.size(0), 1, x.size(1), -1});
  const at::Tensor padded = at::constant_pad_nd(square, {0, 0, (size - 1) / 2, size / 2});
  const at::Tensor mean = at::avg_pool2d(padded, {size, 1}, {1, 1}).reshape(x.sizes());
  const at::Tensor sum = mean * call.Float("alpha", 1e-4f) + call.Float("bias", 1);
  return {x / at::pow(sum, call.Float("beta", 0.75f))};
}

constexpr OpEntry kOps[] = {
    {"BatchNormalization", &BatchNormalization, &RefuseOldBatchNorm},
    {"InstanceNormalization", &InstanceNormalization},
    {"LayerNormalization", &LayerNormalization, &RefuseStatistics},
    {"GroupNormalization", &GroupNormalization},
    {"LpNormalization", &LpNormalization},
    {"LRN", &Lrn},
};

}  // namespace

std::span<const OpEntry> NormOps() { return kOps; }

}  // namespace espalier::train
