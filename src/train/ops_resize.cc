#include <ATen/WrapDimUtils.h>

#include <cmath>
#include <numeric>

#include "train/op_table.h"

namespace espalier::train {
namespace {

// How output places map to input places along one axis, by ONNX's names.
at::Tensor SourcePlaces(const OpCall& call, std::int64_t size, std::int64_t out, double scale) {
  const std::string mode =
      call.opset < 11 ? "asymmetric" : call.Text("coordinate_transformation_mode", "half_pixel");
  const at::Tensor at = at::arange(out, at::kDouble);
  if (mode == "asymmetric") return at / scale;
  if (mode == "align_corners")
    return out == 1 ? at * 0 : at * (static_cast<double>(size - 1) / static_cast<double>(out - 1));
  if (mode == "tf_half_pixel_for_nn") return (at + 0.5) / scale;
  if (mode == "pytorch_half_pixel" && out == 1) return at * 0;
  if (mode == "half_pixel_symmetric") {
    const double whole = scale * static_cast<double>(size);
    const double center = static_cast<double>(size) / 2;
    const double offset = center * (1 - static_cast<double>(out) / whole);
    return offset + (at + 0.5) / scale - 0.5;
  }
  return (at + 0.5) / scale - 0.5;
}

at::Tensor NearestPlaces(const OpCall& call, const at::Tensor& places) {
  const std::string mode =
      call.opset < 11 ? "floor" : call.Text("nearest_mode", "round_prefer_floor");
  if (mode == "floor") return places.floor();
  if (mode == "ceil") return places.ceil();
  if (mode == "round_prefer_ceil") return (places + 0.5).floor();
  return (places - 0.5).ceil();
}

at::Tensor Picked(const at::Tensor& x, std::int64_t axis, const at::Tensor& places) {
  const at::Tensor inside = places.clamp(0, x.size(axis) - 1).to(at::kLong);
  return x.index_select(axis, inside.to(x.device()));
}

// Keys' cubic kernel at distance d; a: the file's cubic_coeff_a.
at::Tensor CubicWeight(const at::Tensor& d, double a) {
  const at::Tensor near = ((a + 2) * d - (a + 3)) * d * d + 1;
  const at::Tensor far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return at::where(d <= 1, near, at::where(d < 2, far, at::zeros_like(d)));
}

// Sum over the neighbours of each place: 2 for linear, 4 for cubic.
at::Tensor Interpolated(const OpCall& call, const at::Tensor& x, std::int64_t axis,
                        const at::Tensor& places, bool cubic) {
  const double a = call.Float("cubic_coeff_a", -0.75f);
  const at::Tensor begin = places.floor();
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[static_cast<std::size_t>(axis)] = places.numel();
  at::Tensor sum;
  for (int i = cubic ? -1 : 0; i <= (cubic ? 2 : 1); ++i) {
    const at::Tensor distance = (places - (begin + i)).abs();
    const at::Tensor weight = cubic ? CubicWeight(distance, a) : 1 - distance;
    const at::Tensor part = Picked(x, axis, begin + i) * weight.to(x.options()).reshape(shape);
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

struct Sizes {
  std::vector<double> scales;
  std::vector<std::int64_t> out;
};

std::vector<double> DoublesOf(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kCPU, at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// For all axes; inputs of opset 11 and later are x, roi, scales, sizes, before it x, scales.
Sizes ReadSizes(const OpCall& call, const at::Tensor& x) {
  const std::size_t rank = static_cast<std::size_t>(x.dim());
  std::vector<std::int64_t> axes = call.Ints("axes");
  if (axes.empty()) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), 0);
  }
  Sizes sizes{std::vector<double>(rank, 1), x.sizes().vec()};
  const std::size_t scales_at = call.opset < 11 ? 1 : 2;
  if (call.Has(scales_at) && call.inputs[scales_at].numel() > 0) {
    const std::vector<double> scales = DoublesOf(call.inputs[scales_at]);
    if (scales.size() != axes.size()) ThrowMalformed(call.node, "has scales for other axes");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto axis = static_cast<std::size_t>(at::maybe_wrap_dim(axes[i], x.dim(), false));
      sizes.scales[axis] = scales[i];
      sizes.out[axis] =
          static_cast<std::int64_t>(std::floor(static_cast<double>(x.size(axis)) * scales[i]));
    }
    return sizes;
  }
  const std::vector<std::int64_t> out = IntsOf(call.inputs[3]);
  if (out.size() != axes.size()) ThrowMalformed(call.node, "has sizes for other axes");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(at::maybe_wrap_dim(axes[i], x.dim(), false));
    sizes.out[axis] = out[i];
    sizes.scales[axis] = static_cast<double>(out[i]) / static_cast<double>(x.size(axis));
  }
  return sizes;
}

Outputs Resize(const OpCall& call) {
  at::Tensor x = call.inputs[0];
  const std::string mode = call.Text("mode", "nearest");
  const Sizes sizes = ReadSizes(call, x);
  const auto rank = static_cast<std::size_t>(x.dim());
  for (std::size_t i = 0; i < rank; ++i) {
    const auto axis = static_cast<std::int64_t>(i);
    if (sizes.out[i] == x.size(axis) && sizes.scales[i] == 1) continue;
    const at::Tensor places = SourcePlaces(call, x.size(axis), sizes.out[i], sizes.scales[i]);
    x = mode == "nearest" ? Picked(x, axis, NearestPlaces(call, places))
                          : Interpolated(call, x, axis, places, mode == "cubic");
  }
  return {x};
}

std::string TextOf(const Node& node, const std::string& name, const std::string& fallback) {
  const auto found = node.attributes.find(name);
  const auto* text =
      found == node.attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
  return text == nullptr ? fallback : *text;
}

std::string RefuseResize(const Node& node) {
  if (IntAttribute(node, "antialias", 0) != 0) return "antialias";
  if (TextOf(node, "keep_aspect_ratio_policy", "stretch") != "stretch")
    return "keep_aspect_ratio_policy";
  if (TextOf(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize")
    return "tf_crop_and_resize";
  if (IntAttribute(node, "exclude_outside", 0) != 0) return "exclude_outside";
  return "";
}

Outputs Upsample(const OpCall& call) {
  // Opset 7 had the scales as an attribute.
  if (call.Has(1)) return Resize(call);
  const auto found = call.node.attributes.find("scales");
  if (found == call.node.attributes.end()) ThrowMalformed(call.node, "has no scales");
  const auto scales = std::get<std::vector<float>>(found->second);
  at::Tensor scale = at::empty({static_cast<std::int64_t>(scales.size())}, at::kFloat);
  std::copy(scales.begin(), scales.end(), scale.data_ptr<float>());
  const std::vector<at::Tensor> tensors = {call.inputs[0], scale};
  const OpInputs inputs(call.node, tensors);
  OpCall with_scales = {call.node, inputs,      call.opset, call.training,
                        call.real, call.device, call.scopes};
  return Resize(with_scales);
}

constexpr OpEntry kOps[] = {
    {"Resize", &Resize, &RefuseResize},
    {"Upsample", &Upsample},
};

}  // namespace

std::span<const OpEntry> ResizeOps() { return kOps; }

}  // namespace espalier::train
