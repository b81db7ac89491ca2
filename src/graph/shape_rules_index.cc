#include <algorithm>
#include <cmath>

#include "graph/shape_rules.h"

namespace espalier::shapes {
namespace {

std::vector<Shape> Gather(const NodeView& view) {
  const Shape& data = view.InputDims(0);
  const Shape& indices = view.InputDims(1);
  const auto given = view.Int("axis", 0);
  const auto axis = data && given ? AxisIndex(*given, data->size()) : std::nullopt;
  if (!axis || !indices) return {};
  Dims out(data->begin(), data->begin() + static_cast<std::ptrdiff_t>(*axis));
  out.insert(out.end(), indices->begin(), indices->end());
  out.insert(out.end(), data->begin() + static_cast<std::ptrdiff_t>(*axis) + 1, data->end());
  return {out};
}

std::vector<Shape> GatherElements(const NodeView& view) { return {view.InputDims(1)}; }

std::vector<Shape> GatherNd(const NodeView& view) {
  const Shape& data = view.InputDims(0);
  const Shape& indices = view.InputDims(1);
  const auto batch = view.Int("batch_dims", 0);
  if (!data || !indices || indices->empty() || !batch || *batch < 0) return {};
  const std::int64_t depth = indices->back();
  const auto rank = static_cast<std::int64_t>(data->size());
  if (depth < 0 || depth > rank || *batch > rank - depth) return {};
  Dims out(indices->begin(), indices->end() - 1);
  out.insert(out.end(), data->begin() + *batch + depth, data->end());
  return {out};
}

std::vector<Shape> Compress(const NodeView& view) {
  Shape out = view.InputDims(0);
  if (!view.HasAttribute("axis")) return {Dims{kUnknownDim}};
  const auto given = view.Int("axis", 0);
  const auto axis = out && given ? AxisIndex(*given, out->size()) : std::nullopt;
  if (!axis) return {};
  (*out)[*axis] = kUnknownDim;
  return {out};
}

std::vector<Shape> OneHot(const NodeView& view) {
  Shape out = view.InputDims(0);
  const auto given = view.Int("axis", -1);
  const auto axis = out && given ? AxisIndex(*given, out->size() + 1) : std::nullopt;
  if (!axis) return {};
  const std::int64_t depth = std::max(view.OneInt(1).value_or(kUnknownDim), kUnknownDim);
  out->insert(out->begin() + static_cast<std::ptrdiff_t>(*axis), depth);
  return {out};
}

std::vector<Shape> NonZero(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto rank = input ? static_cast<std::int64_t>(input->size()) : kUnknownDim;
  return {Dims{rank, kUnknownDim}};
}

std::vector<Shape> NonMaxSuppression(const NodeView&) { return {Dims{kUnknownDim, 3}}; }

std::vector<Shape> ShapeOf(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const auto start = view.Int("start", 0);
  if (!input || !start) return {Dims{kUnknownDim}};
  const auto rank = static_cast<std::int64_t>(input->size());
  const auto end = view.Int("end", rank);
  if (!end) return {Dims{kUnknownDim}};
  const auto place = [rank](std::int64_t at) {
    return std::clamp(at < 0 ? at + rank : at, std::int64_t{0}, rank);
  };
  return {Dims{std::max(place(*end) - place(*start), std::int64_t{0})}};
}

std::vector<Shape> Scalar(const NodeView&) { return {Dims()}; }

std::vector<Shape> ConstantOfShape(const NodeView& view) { return {view.ShapeFromInts(0)}; }

std::vector<Shape> ShapeAttribute(const NodeView& view) {
  if (!view.HasAttribute("shape")) return {};
  const auto dims = view.IntList("shape", Dims());
  return {dims ? Shape(*dims) : std::nullopt};
}

std::vector<Shape> Range(const NodeView& view) { return {Dims{RangeCount(view)}}; }

// As ONNX Runtime: floor(size * scale) in float32.
std::int64_t Scaled(std::int64_t dim, double scale) {
  const double size = static_cast<float>(dim) * static_cast<float>(scale);
  return dim >= 0 && size >= 0 && size < static_cast<double>(kMaxDim)
             ? static_cast<std::int64_t>(size)
             : kUnknownDim;
}

// Scales of Upsample and Resize: an attribute (opset 7), input 1 (9 and 10) or 2 (11 on).
std::optional<std::vector<double>> Scales(const NodeView& view) {
  const auto it = view.node().attributes.find("scales");
  if (it != view.node().attributes.end()) {
    const auto* list = std::get_if<std::vector<float>>(&it->second);
    if (list == nullptr) return std::nullopt;
    return std::vector<double>(list->begin(), list->end());
  }
  const auto scales = view.Floats(view.InputCount() == 2 ? 1 : 2);
  return scales && !scales->empty() ? scales : std::nullopt;
}

std::vector<Shape> Resize(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  if (!input) return {};
  const std::size_t rank = input->size();
  Dims out(rank, kUnknownDim);
  std::vector<std::size_t> axes;
  const auto given = view.IntList("axes", Dims());
  if (!given || !AxisSet(*given, rank)) return {out};
  for (const std::int64_t axis : *given) axes.push_back(*AxisIndex(axis, rank));
  for (std::size_t i = 0; given->empty() && i < rank; ++i) axes.push_back(i);
  const bool stretch = view.Text("keep_aspect_ratio_policy", "stretch") == "stretch";
  const bool crop =
      view.Text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
  const Shape sizes = view.HasInput(3) ? view.ShapeFromInts(3) : std::nullopt;
  const auto scales = Scales(view);
  if (!given->empty()) out = *input;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    std::int64_t& dim = out[axes[i]];
    dim = kUnknownDim;
    if (sizes && !sizes->empty()) {
      if (stretch && sizes->size() == axes.size()) dim = (*sizes)[i];
    } else if (scales && scales->size() == axes.size() && !crop) {
      dim = Scaled((*input)[axes[i]], (*scales)[i]);
    }
  }
  return {out};
}

std::vector<Shape> GridSample(const NodeView& view) {
  const Shape& input = view.InputDims(0);
  const Shape& grid = view.InputDims(1);
  if (!input || !grid || input->size() < 3 || grid->size() != input->size()) return {};
  Dims out = *input;
  std::copy(grid->begin() + 1, grid->end() - 1, out.begin() + 2);
  return {out};
}

constexpr RuleEntry kRules[] = {
    {"", "Compress", &Compress},
    {"", "ConstantOfShape", &ConstantOfShape},
    {"", "Gather", &Gather},
    {"", "GatherElements", &GatherElements},
    {"", "GatherND", &GatherNd},
    {"", "GridSample", &GridSample},
    {"", "NonMaxSuppression", &NonMaxSuppression},
    {"", "NonZero", &NonZero},
    {"", "OneHot", &OneHot},
    {"", "RandomNormal", &ShapeAttribute},
    {"", "RandomUniform", &ShapeAttribute},
    {"", "Range", &Range},
    {"", "Resize", &Resize},
    {"", "Shape", &ShapeOf},
    {"", "Size", &Scalar},
    {"", "Upsample", &Resize},
};

}  // namespace

std::int64_t RangeCount(const NodeView& view) {
  const auto start = view.OneInt(0);
  const auto limit = view.OneInt(1);
  const auto step = view.OneInt(2);
  if (start && limit && step) {
    std::int64_t distance = 0;
    if (*step == 0 || __builtin_sub_overflow(*limit, *start, &distance)) return kUnknownDim;
    if (distance == 0 || (distance > 0) != (*step > 0)) return 0;
    if (*step == -1) return distance < -kMaxDim ? kUnknownDim : -distance;
    const std::int64_t count = distance / *step + (distance % *step != 0 ? 1 : 0);
    return count > kMaxDim ? kUnknownDim : count;
  }
  const auto real = [&view](std::size_t i) {
    const auto floats = view.Floats(i);
    return floats && floats->size() == 1 ? floats->front() : std::nan("");
  };
  const double count = std::ceil((real(1) - real(0)) / real(2));
  if (!(count < static_cast<double>(kMaxDim))) return kUnknownDim;  // also if it is not a number
  return count > 0 ? static_cast<std::int64_t>(count) : 0;
}

std::span<const RuleEntry> IndexRules() { return kRules; }

}  // namespace espalier::shapes
