#include <algorithm>

#include "graph/shape_rules.h"

namespace espalier::shapes {
namespace {

enum class AutoPad { kExplicit, kSame, kValid };

// Kernel, strides and pads of a convolution or pool: one entry a spatial axis.
struct Window {
  AutoPad auto_pad = AutoPad::kExplicit;
  bool ceil = false;
  Dims kernel, strides, dilations;
  Dims pads;  // all starts, then all ends
};

bool AllBetween(const Dims& values, std::size_t count, std::int64_t low) {
  return values.size() == count && std::ranges::all_of(values, [low](std::int64_t value) {
           return value >= low && value <= kMaxDim;
         });
}

// Nothing if an attribute makes no sense; `kernel` may have unknown dimensions.
std::optional<Window> ReadWindow(const NodeView& view, Dims kernel) {
  const std::size_t axes = kernel.size();
  const auto auto_pad = view.Text("auto_pad", "NOTSET");
  const auto strides = view.IntList("strides", Dims(axes, 1));
  const auto dilations = view.IntList("dilations", Dims(axes, 1));
  const auto pads = view.IntList("pads", Dims(2 * axes, 0));
  const auto ceil = view.Int("ceil_mode", 0);
  if (!auto_pad || !strides || !dilations || !pads || !ceil) return std::nullopt;
  Window window{AutoPad::kExplicit, *ceil != 0, std::move(kernel), *strides, *dilations, *pads};
  if (*auto_pad == "SAME_UPPER" || *auto_pad == "SAME_LOWER") {
    window.auto_pad = AutoPad::kSame;
  } else if (*auto_pad == "VALID") {
    window.auto_pad = AutoPad::kValid;
  } else if (!auto_pad->empty() && *auto_pad != "NOTSET") {
    return std::nullopt;
  }
  if (window.auto_pad != AutoPad::kExplicit) window.pads = Dims(2 * axes, 0);
  if (!AllBetween(window.strides, axes, 1) || !AllBetween(window.dilations, axes, 1) ||
      !AllBetween(window.pads, 2 * axes, 0)) {
    return std::nullopt;
  }
  return window;
}

// Input elements that one kernel covers along an axis.
std::int64_t Span(const Window& window, std::size_t i) {
  const std::int64_t kernel = window.kernel[i];
  if (kernel < 1) return kUnknownDim;
  return AddDims(MulDims(window.dilations[i], kernel - 1), 1);
}

std::int64_t WindowCount(const Window& window, std::size_t i, std::int64_t input) {
  const std::int64_t stride = window.strides[i];
  if (input < 0) return kUnknownDim;
  if (window.auto_pad == AutoPad::kSame) {
    // With dilations, ONNX Runtime refuses convolutions and pools unlike the standard.
    return window.dilations[i] == 1 ? (input + stride - 1) / stride : kUnknownDim;
  }
  const std::int64_t span = Span(window, i);
  const std::int64_t start = AddDims(input, window.pads[i]);
  const std::int64_t padded = AddDims(start, window.pads[i + window.kernel.size()]);
  if (span < 0 || padded < span) return kUnknownDim;
  if (!window.ceil) return (padded - span) / stride + 1;
  const std::int64_t count = (padded - span + stride - 1) / stride + 1;
  // The last window must start inside the input or its left padding (as PyTorch and ONNX Runtime).
  return (count - 1) * stride >= start ? count - 1 : count;
}

std::int64_t TransposedCount(const Window& window, std::size_t i, std::int64_t input,
                             std::int64_t extra) {
  const std::int64_t stride = window.strides[i];
  if (input < 1) return kUnknownDim;
  const std::int64_t full = AddDims(AddDims(MulDims(input - 1, stride), Span(window, i)), extra);
  // ONNX Runtime: never more than without padding, if the kernel is smaller than the stride.
  if (window.auto_pad == AutoPad::kSame) return std::min(full, MulDims(input, stride));
  const std::int64_t pads = window.pads[i] + window.pads[i + window.kernel.size()];
  return full < pads ? kUnknownDim : full - pads;
}

// The kernel's size from the weight's dimensions (KCRS), else from the attribute.
std::optional<Dims> KernelOf(const NodeView& view, const Shape& weight, std::size_t rank) {
  if (weight) {
    if (weight->size() != rank) return std::nullopt;
    return Dims(weight->begin() + 2, weight->end());
  }
  auto kernel = view.IntList("kernel_shape", Dims(rank - 2, kUnknownDim));
  return kernel && kernel->size() == rank - 2 ? kernel : std::nullopt;
}

bool ChannelsFit(std::int64_t input, std::int64_t weight, std::int64_t groups) {
  return input < 0 || weight < 0 || MulDims(weight, groups) == input;
}

std::vector<Shape> ConvOf(const NodeView& view, std::size_t weight_input) {
  const Shape& input = view.InputDims(0);
  const Shape& weight = view.InputDims(weight_input);
  const auto groups = view.Int("group", 1);
  if (!input || input->size() < 3 || !groups || *groups < 1) return {};
  const auto kernel = KernelOf(view, weight, input->size());
  if (!kernel || (weight && !ChannelsFit((*input)[1], (*weight)[1], *groups))) return {};
  Dims out(input->size(), kUnknownDim);
  out[0] = (*input)[0];
  if (weight) out[1] = (*weight)[0];
  if (const auto window = ReadWindow(view, *kernel)) {
    for (std::size_t i = 2; i < out.size(); ++i) {
      out[i] = WindowCount(*window, i - 2, (*input)[i]);
    }
  }
  return {out};
}

std::vector<Shape> Conv(const NodeView& view) { return ConvOf(view, 1); }
std::vector<Shape> QLinearConv(const NodeView& view) {
  return view.Int("channels_last", 0) == 0 ? ConvOf(view, 3) : std::vector<Shape>();
}

std::vector<Shape> ConvTranspose(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const Shape& weight = view.InputDims(1);
  const auto groups = view.Int("group", 1);
  if (!input || input->size() < 3 || !groups || *groups < 1) return {};
  const std::size_t axes = input->size() - 2;
  const auto kernel = KernelOf(view, weight, input->size());
  if (!kernel || (weight && !ChannelsFit((*input)[1], (*weight)[0], 1))) return {};
  Dims out(input->size(), kUnknownDim);
  out[0] = (*input)[0];
  if (weight) out[1] = MulDims((*weight)[1], *groups);
  const auto window = ReadWindow(view, *kernel);
  const auto extra = view.IntList("output_padding", Dims(axes, 0));
  const auto given = view.IntList("output_shape", Dims());
  if (!window || !extra || !given || !AllBetween(*extra, axes, 0)) return {out};
  if (!given->empty()) {
    if (AllBetween(*given, axes, 1)) std::ranges::copy(*given, out.begin() + 2);
    return {out};
  }
  for (std::size_t i = 0; i < axes; ++i) {
    out[i + 2] = TransposedCount(*window, i, (*input)[i + 2], (*extra)[i]);
  }
  return {out};
}

// Pools with a second output give the indices, of the same shape.
std::vector<Shape> Pool(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input || input->size() < 3 || view.Int("channels_last", 0) != 0) return {};
  Dims out(input->size(), kUnknownDim);
  out[0] = (*input)[0];
  out[1] = (*input)[1];
  const auto kernel = view.IntList("kernel_shape", Dims());
  if (!kernel || kernel->size() != input->size() - 2) return {out, out};
  if (const auto window = ReadWindow(view, *kernel)) {
    for (std::size_t i = 2; i < out.size(); ++i) {
      out[i] = WindowCount(*window, i - 2, (*input)[i]);
    }
  }
  return {out, out};
}

std::vector<Shape> GlobalPool(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input || input->size() < 2 || view.Int("channels_last", 0) != 0) return {};
  Dims out(input->size(), 1);
  out[0] = (*input)[0];
  out[1] = (*input)[1];
  return {out};
}

std::vector<Shape> RoiAlign(const NodeView& view) {
  const Dims* input = view.InputOfRank(0, 4);
  const Dims* rois = view.InputOfRank(1, 2);
  const auto height = view.Int("output_height", 1);
  const auto width = view.Int("output_width", 1);
  if (input == nullptr || !height || !width) return {};
  return {Dims{rois == nullptr ? kUnknownDim : rois->front(), (*input)[1], *height, *width}};
}

constexpr RuleEntry kRules[] = {
    {"", "Conv", &Conv},
    {"", "ConvInteger", &Conv},
    {"", "QLinearConv", &QLinearConv},
    {"", "ConvTranspose", &ConvTranspose},
    {"", "AveragePool", &Pool},
    {"", "LpPool", &Pool},
    {"", "MaxPool", &Pool},
    {"", "GlobalAveragePool", &GlobalPool},
    {"", "GlobalLpPool", &GlobalPool},
    {"", "GlobalMaxPool", &GlobalPool},
    {"", "RoiAlign", &RoiAlign},
    {"com.microsoft", "FusedConv", &Conv},
    {"com.microsoft", "QLinearConv", &QLinearConv},
    {"com.microsoft", "QLinearAveragePool", &Pool},
    {"com.microsoft", "QLinearGlobalAveragePool", &GlobalPool},
};

}  // namespace

std::span<const RuleEntry> ConvRules() { return kRules; }

}  // namespace espalier::shapes
