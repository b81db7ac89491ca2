#include "runtime/ops/conv_window.h"

#include <fmt/format.h>

#include <algorithm>

namespace espalier::runtime {
namespace {

constexpr std::int64_t kMostSize = std::int64_t{1} << 31;  // products of two stay in 64 bits

AutoPad AutoPadOf(const OpBuild& build) {
  const std::string name = build.String("auto_pad", "NOTSET");
  if (name == "NOTSET" || name.empty()) return AutoPad::kNotSet;
  if (name == "VALID") return AutoPad::kValid;
  if (name == "SAME_UPPER") return AutoPad::kSameUpper;
  if (name == "SAME_LOWER") return AutoPad::kSameLower;
  build.Refuse(fmt::format("auto_pad '{}'", name));
}

void CheckSizes(const OpBuild& build, const char* name, const std::vector<std::int64_t>& sizes,
                std::int64_t least) {
  for (const std::int64_t size : sizes) {
    if (size >= least && size <= kMostSize) continue;
    if (size < 0 && least == 0) build.Refuse(fmt::format("the negative pad {}", size));
    throw Error(ErrorCode::kBadFile,
                fmt::format("{}: {} has the value {}", NodeText(build.node()), name, size));
  }
}

// The window's axis if `axis` has its sizes and strides but no pads and no output yet.
void PlaceAutoPad(AutoPad mode, WindowAxis* axis) {
  axis->pad_begin = axis->pad_end = 0;
  if (mode == AutoPad::kValid) {
    axis->out = axis->in < axis->Extent() ? 0 : (axis->in - axis->Extent()) / axis->stride + 1;
    return;
  }
  axis->out = (axis->in + axis->stride - 1) / axis->stride;
  const std::int64_t total =
      std::max<std::int64_t>(0, (axis->out - 1) * axis->stride + axis->Extent() - axis->in);
  axis->pad_begin = mode == AutoPad::kSameUpper ? total / 2 : total - total / 2;
  axis->pad_end = total - axis->pad_begin;
}

void PlaceExplicit(bool ceil_mode, WindowAxis* axis) {
  const std::int64_t room = axis->in + axis->pad_begin + axis->pad_end - axis->Extent();
  if (room < 0) {
    axis->out = 0;
    return;
  }
  axis->out = (room + (ceil_mode ? axis->stride - 1 : 0)) / axis->stride + 1;
  // The last window has to begin in the input or in front of it.
  if (ceil_mode && (axis->out - 1) * axis->stride >= axis->in + axis->pad_begin) --axis->out;
}

}  // namespace

WindowAttributes::WindowAttributes(const OpBuild& build)
    : kernel(build.Ints("kernel_shape", {})),
      strides(build.Ints("strides", {})),
      dilations(build.Ints("dilations", {})),
      pads(build.Ints("pads", {})),
      auto_pad(AutoPadOf(build)),
      ceil_mode(build.Int("ceil_mode", 0) != 0) {
  CheckSizes(build, "kernel_shape", kernel, 1);
  CheckSizes(build, "strides", strides, 1);
  CheckSizes(build, "dilations", dilations, 1);
  CheckSizes(build, "pads", pads, 0);
  if (kernel.size() > 3) build.Refuse(fmt::format("a window over {} axes", kernel.size()));
}

void PlaceWindow(const WindowAttributes& attributes, std::span<const std::int64_t> spatial,
                 std::span<const std::int64_t> kernel, std::vector<WindowAxis>* axes) {
  const std::size_t rank = spatial.size();
  if (rank > 3) {
    throw Error(ErrorCode::kUnsupported, fmt::format("a window over {} axes", rank));
  }
  const auto fits = [&](std::size_t size) { return size == 0 || size == rank; };
  if (kernel.size() != rank || !fits(attributes.kernel.size()) ||
      !fits(attributes.strides.size()) || !fits(attributes.dilations.size()) ||
      !fits(attributes.pads.size() / 2) || attributes.pads.size() % 2 != 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} spatial axes, kernel_shape {}, strides {}, dilations {}, pads {}",
                            rank, kernel.size(), attributes.strides.size(),
                            attributes.dilations.size(), attributes.pads.size()));
  }
  axes->assign(rank, {});
  for (std::size_t i = 0; i < rank; ++i) {
    WindowAxis& axis = (*axes)[i];
    axis.in = spatial[i];
    axis.kernel = kernel[i];
    if (kernel[i] < 1 || kernel[i] > kMostSize) {
      throw Error(ErrorCode::kBadFile, fmt::format("a kernel of size {}", kernel[i]));
    }
    if (!attributes.kernel.empty() && attributes.kernel[i] != kernel[i]) {
      throw Error(ErrorCode::kBadFile, fmt::format("kernel_shape has {}, the weight {}",
                                                   attributes.kernel[i], kernel[i]));
    }
    if (!attributes.strides.empty()) axis.stride = attributes.strides[i];
    if (!attributes.dilations.empty()) axis.dilation = attributes.dilations[i];
    if (attributes.auto_pad != AutoPad::kNotSet) {
      PlaceAutoPad(attributes.auto_pad, &axis);
    } else {
      if (!attributes.pads.empty()) axis.pad_begin = attributes.pads[i];
      if (!attributes.pads.empty()) axis.pad_end = attributes.pads[i + rank];
      PlaceExplicit(attributes.ceil_mode, &axis);
    }
    if (axis.out <= 0 && axis.in > 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a kernel of {} does not fit {} elements with pads {} and {}",
                              axis.Extent(), axis.in, axis.pad_begin, axis.pad_end));
    }
  }
}

Window3d AsWindow3d(std::span<const WindowAxis> axes) {
  Window3d window;
  WindowAxis* const places[] = {&window.w, &window.h, &window.d};
  for (std::size_t i = 0; i < axes.size(); ++i) *places[i] = axes[axes.size() - 1 - i];
  return window;
}

KernelRange InsideRange(const WindowAxis& axis, std::int64_t out) {
  const std::int64_t start = out * axis.stride - axis.pad_begin;  // of kernel position 0
  if (axis.dilation == 1) {  // poolings ask for each row, and divisions are slow
    const std::int64_t end = std::clamp<std::int64_t>(axis.in - start, 0, axis.kernel);
    return {std::clamp<std::int64_t>(-start, 0, end), end};
  }
  KernelRange range;
  if (start < 0) range.begin = (-start + axis.dilation - 1) / axis.dilation;
  const std::int64_t left = axis.in - start;  // positions with k * dilation < left are inside
  range.end = left <= 0 ? 0 : std::min(axis.kernel, (left + axis.dilation - 1) / axis.dilation);
  range.begin = std::min(range.begin, range.end);
  return range;
}

}  // namespace espalier::runtime
