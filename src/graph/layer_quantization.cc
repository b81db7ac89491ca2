#include "graph/layer_quantization.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "espalier/base/error.h"

namespace espalier {
namespace {

// Where the parameters stand and along which stored axis they run.
struct Source {
  int scope = 0;
  const Node* node = nullptr;
  int scale_input = -1;
  int zero_point_input = -1;
  std::optional<Axis> axis;  // nothing: the output channels
  bool reordered = false;    // whether the node sees parts in another order than they are stored
};

// The constant behind an input. Absent optional inputs and inputs that are not constant differ.
struct Parameter {
  bool present = false;
  const Tensor* tensor = nullptr;
};

Parameter Read(const Graph& graph, const ConstantIndex& constants, const Source& source,
               int input) {
  const auto& inputs = source.node->inputs;
  if (input < 0 || static_cast<std::size_t>(input) >= inputs.size() || inputs[input].empty()) {
    return {};
  }
  const int index = constants.Find(source.scope, inputs[input]);
  return {true, index < 0 ? nullptr : &graph.constants[index].tensor};
}

// Spreads per-axis values over all rows (groups x outputs).
template <class T>
std::vector<T> OverRows(const std::vector<T>& values, const WeightView& view) {
  std::vector<T> rows;
  for (std::int64_t row = 0; row < view.Rows(); ++row) rows.push_back(values[row % values.size()]);
  return rows;
}

std::optional<Source> FindSource(const ConstantUse& use, const WeightRole& role) {
  if (!use.dequantize) {
    if (role.zero_point_input < 0) return std::nullopt;
    return Source{use.scope,        use.node,
                  role.scale_input, role.zero_point_input,
                  std::nullopt,     !use.reordered.empty()};
  }
  Source source{use.dequantize->scope, use.dequantize->node,     1, 2,
                std::nullopt,          use.dequantize->reordered};
  const StridedArray& array = use.dequantize->array;
  auto axis = IntAttribute(*source.node, "axis", 1);
  if (axis && *axis < 0) *axis += static_cast<std::int64_t>(array.dims.size());
  if (axis && *axis >= 0 && *axis < static_cast<std::int64_t>(array.dims.size())) {
    source.axis = Axis{array.dims[*axis], array.strides[*axis]};
  } else {
    source.axis = Axis{-1, -1};  // only a single scale can do without an axis
  }
  return source;
}

bool IsRowAxis(const WeightView& view, const Axis& axis) {
  const bool is_out = axis.size == view.out.size && axis.stride == view.out.stride;
  if (is_out || view.groups.size() != 1) return is_out;
  const Axis& group = view.groups[0];
  const std::int64_t step = view.out.size == 1 ? group.stride : view.out.stride;
  return axis.size == view.Rows() && axis.stride == step && group.stride == view.out.size * step;
}

// Values of a parameter, or `fallback` if the node leaves it out; nothing if they cannot be known.
std::optional<std::vector<double>> Values(const Graph& graph, const ConstantIndex& constants,
                                          const Source& source, int input, double fallback) {
  const Parameter parameter = Read(graph, constants, source, input);
  if (!parameter.present) return std::vector<double>{fallback};
  if (parameter.tensor == nullptr || parameter.tensor->elements() == 0) return std::nullopt;
  try {
    return parameter.tensor->AsDoubles();
  } catch (const Error&) {  // a type that has no value here, such as float8
    return std::nullopt;
  }
}

// Finds the axis that `count` values run along and spreads them over it.
std::variant<Quantization, std::string> AlongAxis(const std::optional<Axis>& given,
                                                  const WeightView& view,
                                                  const std::vector<float>& scales,
                                                  const std::vector<std::int32_t>& zeros) {
  const auto size = static_cast<std::int64_t>(scales.size());
  if (size == 1) return Quantization{Quantization::Along::kTensor, scales, zeros};
  const bool rows = given ? given->size == size && IsRowAxis(view, *given)
                          : size == view.out.size || size == view.Rows();
  if (rows) {
    return Quantization{Quantization::Along::kRow, OverRows(scales, view), OverRows(zeros, view)};
  }
  if (given && given->size == size && *given == view.in) {
    return Quantization{Quantization::Along::kChannel, scales, zeros};
  }
  return fmt::format("{} scales along an axis that is neither output nor input channels", size);
}

}  // namespace

std::variant<Quantization, std::string> FindQuantization(const Graph& graph,
                                                         const ConstantIndex& constants,
                                                         const ConstantUse& use,
                                                         const WeightRole& role, DType stored) {
  const auto source = FindSource(use, role);
  if (!source) return fmt::format("{} reads integers without a zero point", NodeText(*use.node));
  const std::string where = NodeText(*source->node);
  if (IntAttribute(*source->node, "block_size", 0) != 0) {
    return fmt::format("{} has scales in blocks, which are not supported", where);
  }
  const auto scale_values = Values(graph, constants, *source, source->scale_input, 1.0);
  const auto zero_values = Values(graph, constants, *source, source->zero_point_input, 0.0);
  if (!scale_values || !zero_values) {
    return fmt::format("the scale or zero point of {} is not a constant", where);
  }
  const auto fits = [stored](double zero) {
    const double least = stored == DType::kInt8 ? -128 : 0;
    return zero >= least && zero <= least + 255;
  };
  const auto bad = std::ranges::find_if_not(*zero_values, fits);
  if (bad != zero_values->end()) {
    return fmt::format("{} has a zero point of {}, which is no {}", where, *bad, DTypeName(stored));
  }
  std::vector<float> scales(scale_values->begin(), scale_values->end());
  std::vector<std::int32_t> zeros(zero_values->begin(), zero_values->end());
  const std::size_t count = std::max(scales.size(), zeros.size());
  if (scales.size() == 1) scales.assign(count, scales[0]);
  if (zeros.size() == 1) zeros.assign(count, zeros[0]);
  if (scales.size() != zeros.size()) {
    return fmt::format("{} has {} scales but {} zero points", where, scales.size(), zeros.size());
  }
  if (source->reordered && count > 1) {
    return fmt::format("{} has {} scales for channels in another order", where, count);
  }
  auto result = AlongAxis(source->axis, role.view, scales, zeros);
  if (auto* refusal = std::get_if<std::string>(&result)) *refusal = where + " has " + *refusal;
  return result;
}

std::optional<Quantization> FindFakeQuantization(const Graph& graph, const ConstantIndex& constants,
                                                 const ConstantUse& use, const WeightRole& role) {
  if (!use.quantize || !use.dequantize) return std::nullopt;
  std::optional<Quantization> both;
  for (const auto& step : {*use.quantize, *use.dequantize}) {
    ConstantUse as_stored = use;
    as_stored.dequantize = step;
    const Source source{step.scope, step.node, 1, 2, std::nullopt, false};
    const Parameter zero = Read(graph, constants, source, source.zero_point_input);
    if (zero.present && zero.tensor == nullptr) return std::nullopt;
    // Without a zero point QuantizeLinear makes uint8, unless an attribute of opset 21 says else.
    if (!zero.present && step.node->attributes.contains("output_dtype")) return std::nullopt;
    const DType dtype = zero.present ? zero.tensor->dtype() : DType::kUint8;
    if (dtype != DType::kInt8 && dtype != DType::kUint8) return std::nullopt;
    auto found = FindQuantization(graph, constants, as_stored, role, dtype);
    const auto* one = std::get_if<Quantization>(&found);
    if (one == nullptr || (both && *both != *one)) return std::nullopt;
    both = *one;
  }
  return both;
}

}  // namespace espalier
