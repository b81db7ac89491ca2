#include <fmt/format.h>

#include <algorithm>

#include "espalier/pattern/registry.h"
#include "prune/scan.h"

namespace espalier {
namespace {

// Below about this many channels the dense kernels win (TensorRT issue 3849); a KxK kernel counts
// K * K times its input channels.
constexpr std::int64_t kChannelsToGain = 256;

// A pattern along another axis shows in this many weights, 16 MB of float32.
constexpr std::int64_t kMostSample = std::int64_t{1} << 22;

// Another axis along which 2:4 holds, in words; empty if there is none. SparseGPT ports that
// flatten C x R x S prune along the kernel's columns; a transposed checkpoint holds along the
// outputs.
std::string OtherAxis(const WeightStore& store, std::size_t index, const Pattern& two_of_four) {
  Layer other = store.layers()[index];
  const WeightView view = other.view;
  if (!IsFloatDType(other.dtype)) return "";
  const std::int64_t row = view.in.size * view.PositionCount();
  if (row > kMostSample / 4) return "";
  WeightView sample = view;
  if (view.out.stride == row) {  // rows one after the other: the first of them tell enough
    sample.out.size = std::min(view.out.size, kMostSample / row / 4 * 4);
  }
  other.view = sample;
  other.view.in = sample.out;
  other.view.out = sample.in;
  if (view.out.size >= 4 && !FindViolationIn(store, index, other, two_of_four)) {
    return "output channels";
  }
  if (view.PositionCount() == 1) return "";
  other.view = sample;
  other.view.positions = {};
  other.view.in = {view.in.size * view.PositionCount(), 1};
  const bool kernel_is_innermost = view.in.stride == view.PositionCount();
  if (kernel_is_innermost && !FindViolationIn(store, index, other, two_of_four)) {
    return "the flattened C x R x S";
  }
  return "";
}

std::string WhyNotEligible(const WeightStore& store, std::size_t index, bool look_closer) {
  const Layer& layer = store.layers()[index];
  if (!layer.refusal.empty()) return layer.refusal;
  if (layer.kind == LayerKind::kRecurrent) return "recurrent layers have no sparse kernels";
  if (layer.kind == LayerKind::kConv && layer.view.GroupCount() > 1) {
    return "grouped convolutions have no sparse kernels";
  }
  if (layer.view.in.size % 4 != 0) {
    return fmt::format("C = {} is not a multiple of 4", layer.view.in.size);
  }
  if (layer.dtype == DType::kUint8) return "weights have to be int8, not uint8";
  const auto& quantization = layer.quantization ? layer.quantization : layer.fake_quantization;
  if (quantization &&
      std::ranges::any_of(quantization->zero_point, [](std::int32_t zero) { return zero != 0; })) {
    return "int8 weights need zero point 0";
  }
  const auto two_of_four = PatternRegistry::BuiltIn().Make("2:4");
  if (!FindViolationIn(store, index, layer, *two_of_four)) return "";
  const std::string axis = look_closer ? OtherAxis(store, index, *two_of_four) : "";
  if (axis.empty()) return "not 2:4 along the input channels";
  return fmt::format("2:4 along {}, not along the input channels", axis);
}

std::string WhyMaybeDense(const Layer& layer) {
  const std::int64_t outputs = layer.view.out.size;
  const std::int64_t inputs = layer.view.in.size;
  const std::int64_t depth = inputs * layer.view.PositionCount();
  const std::int64_t multiple = layer.quantization || layer.fake_quantization ? 32 : 16;
  if (inputs % multiple != 0) {
    return fmt::format("C={}, not {} x n: may run dense", inputs, multiple);
  }
  if (outputs % 8 != 0) {
    return fmt::format("K={}, not 8 x n: may run dense", outputs);
  }
  if (depth < kChannelsToGain || outputs < kChannelsToGain) {
    return fmt::format("small: K={}, C*R*S={}", outputs, depth);
  }
  return "";
}

}  // namespace

TensorRtVerdict TensorRtVerdictOn(const WeightStore& store, std::size_t index, bool look_closer) {
  const std::string why_not = WhyNotEligible(store, index, look_closer);
  if (!why_not.empty()) return {false, why_not};
  return {true, WhyMaybeDense(store.layers()[index])};
}

}  // namespace espalier
