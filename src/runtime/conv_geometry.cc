#include "runtime/conv_geometry.h"

#include <fmt/format.h>

#include <algorithm>

namespace espalier::runtime {
namespace {

// Sizes and steps above this would overflow the products below.
constexpr std::int64_t kMaxStep = std::int64_t{1} << 31;

void CheckList(const OpBuild& build, const char* name, const std::vector<std::int64_t>& list,
               std::size_t length, std::int64_t least) {
  const bool fits = std::ranges::all_of(
      list, [&](std::int64_t value) { return value >= least && value < kMaxStep; });
  if (list.size() == length && fits) return;
  throw Error(ErrorCode::kBadFile,
              fmt::format("{}: {} is [{}]", NodeText(build.node()), name, fmt::join(list, ", ")));
}

}  // namespace

ConvAttributes ReadConvAttributes(const OpBuild& build, const Dims& weight) {
  if (weight.size() < 3) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{}: a weight of rank {}", NodeText(build.node()), weight.size()));
  }
  const std::size_t axes = weight.size() - 2;
  ConvAttributes attributes;
  attributes.kernel = build.Ints("kernel_shape", {weight.begin() + 2, weight.end()});
  attributes.strides = build.Ints("strides", std::vector<std::int64_t>(axes, 1));
  attributes.dilations = build.Ints("dilations", std::vector<std::int64_t>(axes, 1));
  attributes.pads = build.Ints("pads", std::vector<std::int64_t>(2 * axes, 0));
  attributes.auto_pad = build.String("auto_pad", "NOTSET");
  attributes.group = build.Int("group", 1);
  CheckList(build, "strides", attributes.strides, axes, 1);
  CheckList(build, "dilations", attributes.dilations, axes, 1);
  CheckList(build, "pads", attributes.pads, 2 * axes, 0);
  CheckList(build, "kernel_shape", attributes.kernel, axes, 1);
  if (!std::equal(weight.begin() + 2, weight.end(), attributes.kernel.begin())) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{}: kernel_shape is [{}], the weight is [{}]", NodeText(build.node()),
                            fmt::join(attributes.kernel, ", "), fmt::join(weight, ", ")));
  }
  if (attributes.group < 1) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{}: group is {}", NodeText(build.node()), attributes.group));
  }
  const std::string& mode = attributes.auto_pad;
  if (mode != "NOTSET" && mode != "VALID" && mode != "SAME_UPPER" && mode != "SAME_LOWER") {
    build.Refuse(fmt::format("auto_pad '{}'", mode));
  }
  return attributes;
}

ConvGeometry GeometryFor(const ConvAttributes& attributes,
                         const std::vector<std::int64_t>& spatial) {
  const std::size_t axes = attributes.kernel.size();
  ConvGeometry geometry;
  geometry.out.resize(axes);
  geometry.pads_begin.resize(axes);
  for (std::size_t i = 0; i < axes; ++i) {
    const std::int64_t stride = attributes.strides[i];
    const std::int64_t span = (attributes.kernel[i] - 1) * attributes.dilations[i] + 1;
    std::int64_t begin = 0;
    std::int64_t both = 0;
    if (attributes.auto_pad == "NOTSET") {
      begin = attributes.pads[i];
      both = begin + attributes.pads[i + axes];
    } else if (attributes.auto_pad != "VALID") {
      const std::int64_t out = (spatial[i] + stride - 1) / stride;
      both = std::max<std::int64_t>((out - 1) * stride + span - spatial[i], 0);
      begin = attributes.auto_pad == "SAME_LOWER" ? (both + 1) / 2 : both / 2;
    }
    const std::int64_t room = spatial[i] + both - span;
    if (room < 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a window of {} on an axis of {} with {} zeros of padding", span,
                              spatial[i], both));
    }
    geometry.out[i] = room / stride + 1;
    geometry.pads_begin[i] = begin;
  }
  return geometry;
}

}  // namespace espalier::runtime
