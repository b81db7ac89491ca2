#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "runtime/fused.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/scope_editor.h"

namespace espalier::runtime {
namespace {

// Copied: a tensor in a file may begin anywhere.
std::vector<float> FloatsOf(const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes().data(), tensor.bytes().size());
  return values;
}

Tensor FloatTensor(const Dims& dims, const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return Tensor(DType::kFloat32, dims, std::move(bytes));
}

bool IsFloat(const Tensor* tensor) {
  return tensor != nullptr && tensor->dtype() == DType::kFloat32;
}

// y = scale * x + shift for each output channel; one element stands for all channels.
struct Affine {
  std::vector<double> scale{1};
  std::vector<double> shift{0};
};

// A layer with constant float weights, seen as [outer, channels, inner] with output channels in the
// middle. Groups of a ConvTranspose make the channels of its weight repeat.
struct FoldableLayer {
  Tensor weight;
  std::vector<float> bias;  // empty: none
  std::size_t channels = 0;
  std::size_t rank = 0;  // of the output; 0: unknown
  // Output channel of weight element i.
  std::size_t inner = 1;
  std::size_t weight_channels = 0;
  std::size_t outer_per_group = 0;  // ConvTranspose; 0 elsewhere

  std::size_t ChannelOf(std::size_t i) const {
    const std::size_t in_group = i / inner % weight_channels;
    if (outer_per_group == 0) return in_group;
    return i / inner / weight_channels / outer_per_group * weight_channels + in_group;
  }
};

std::optional<FoldableLayer> AsConv(const Node& node, const Tensor& weight) {
  const Dims& dims = weight.dims();
  if (dims.size() < 3) return std::nullopt;
  FoldableLayer layer;
  layer.rank = dims.size();
  for (std::size_t i = 2; i < dims.size(); ++i) layer.inner *= static_cast<std::size_t>(dims[i]);
  if (node.op_type == "Conv") {
    layer.channels = layer.weight_channels = static_cast<std::size_t>(dims[0]);
    layer.inner *= static_cast<std::size_t>(dims[1]);
    return layer;
  }
  const auto groups = IntAttribute(node, "group", 1).value_or(0);
  if (groups < 1 || dims[0] % groups != 0) return std::nullopt;
  layer.weight_channels = static_cast<std::size_t>(dims[1]);
  layer.outer_per_group = static_cast<std::size_t>(dims[0] / groups);
  layer.channels = layer.weight_channels * static_cast<std::size_t>(groups);
  return layer;
}

std::optional<FoldableLayer> AsMatrix(const Node& node, const Tensor& weight) {
  const Dims& dims = weight.dims();
  if (dims.size() != 2) return std::nullopt;
  FoldableLayer layer;
  bool rows = false;  // channels are the weight's rows
  if (node.op_type == "Gemm") {
    const auto one = [&](const char* name) {
      const auto it = node.attributes.find(name);
      return it == node.attributes.end() ||
             (std::holds_alternative<float>(it->second) && std::get<float>(it->second) == 1.0f);
    };
    if (!one("alpha") || !one("beta")) return std::nullopt;
    rows = IntAttribute(node, "transB", 0).value_or(0) != 0;
    layer.rank = 2;
  }
  layer.channels = layer.weight_channels = static_cast<std::size_t>(dims[rows ? 0 : 1]);
  if (rows) layer.inner = static_cast<std::size_t>(dims[1]);
  return layer;
}

std::optional<FoldableLayer> LayerOf(const ScopeEditor& editor, const Node& node) {
  if (!node.domain.empty() || node.inputs.size() < 2 || node.outputs.size() != 1 ||
      node.inputs.size() > kResidualInput || FusedActivation(node).kind != ActivationKind::kNone) {
    return std::nullopt;
  }
  const Tensor* weight = editor.ConstantOf(node.inputs[1]);
  if (!IsFloat(weight) || weight->elements() == 0) return std::nullopt;
  const bool conv = node.op_type == "Conv" || node.op_type == "ConvTranspose";
  if (!conv && node.op_type != "Gemm" && node.op_type != "MatMul") return std::nullopt;
  auto layer = conv ? AsConv(node, *weight) : AsMatrix(node, *weight);
  if (!layer || layer->channels == 0 || layer->weight_channels == 0) return std::nullopt;
  layer->weight = *weight;
  if (node.inputs.size() > 2 && !node.inputs[2].empty()) {
    const Tensor* bias = editor.ConstantOf(node.inputs[2]);
    if (!IsFloat(bias)) return std::nullopt;
    const auto elements = static_cast<std::size_t>(bias->elements());
    // A Gemm's bias may be a matrix, or one number for all.
    const bool vector =
        !bias->dims().empty() && static_cast<std::size_t>(bias->dims().back()) == elements;
    if (!vector || elements != layer->channels) return std::nullopt;
    layer->bias = FloatsOf(*bias);
  }
  return layer;
}

// A constant that varies along the channel axis at most.
std::optional<std::vector<double>> PerChannel(const Tensor* tensor, const FoldableLayer& layer,
                                              bool conv) {
  if (!IsFloat(tensor) || tensor->elements() == 0) return std::nullopt;
  const Dims& dims = tensor->dims();
  const std::size_t rank = layer.rank == 0 ? 1 : layer.rank;
  if (dims.size() > rank) return std::nullopt;
  const std::size_t axis = conv ? 1 : rank - 1;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const std::size_t full = i + rank - dims.size();
    const auto wanted = full == axis ? static_cast<std::int64_t>(layer.channels) : 1;
    if (dims[i] != 1 && dims[i] != wanted) return std::nullopt;
  }
  const std::vector<float> values = FloatsOf(*tensor);
  return std::vector<double>(values.begin(), values.end());
}

std::optional<Affine> FromBatchNorm(const ScopeEditor& editor, const Node& norm,
                                    const FoldableLayer& layer) {
  if (norm.inputs.size() != 5 || IntAttribute(norm, "training_mode", 0).value_or(1) != 0 ||
      IntAttribute(norm, "spatial", 1).value_or(0) != 1) {
    return std::nullopt;
  }
  for (std::size_t i = 1; i < norm.outputs.size(); ++i) {
    if (!norm.outputs[i].empty()) return std::nullopt;
  }
  std::vector<float> values[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const Tensor* tensor = editor.ConstantOf(norm.inputs[i + 1]);
    if (!IsFloat(tensor) || static_cast<std::size_t>(tensor->elements()) != layer.channels) {
      return std::nullopt;
    }
    values[i] = FloatsOf(*tensor);
  }
  const auto it = norm.attributes.find("epsilon");
  const float* epsilon = it == norm.attributes.end() ? nullptr : std::get_if<float>(&it->second);
  Affine affine;
  affine.scale.resize(layer.channels);
  affine.shift.resize(layer.channels);
  for (std::size_t c = 0; c < layer.channels; ++c) {
    const double deviation = std::sqrt(static_cast<double>(values[3][c]) +
                                       static_cast<double>(epsilon ? *epsilon : 1e-5f));
    affine.scale[c] = static_cast<double>(values[0][c]) / deviation;
    affine.shift[c] =
        static_cast<double>(values[1][c]) - static_cast<double>(values[2][c]) * affine.scale[c];
  }
  return affine;
}

// What the only reader of a layer's output does, if it is affine.
std::optional<Affine> AffineOf(const ScopeEditor& editor, const Node& reader,
                               const std::string& value, const FoldableLayer& layer, bool conv) {
  if (!reader.domain.empty() || reader.outputs.empty()) return std::nullopt;
  if (conv && reader.op_type == "BatchNormalization" && reader.inputs[0] == value) {
    return FromBatchNorm(editor, reader, layer);
  }
  if (reader.inputs.size() != 2 || reader.attributes.contains("axis")) return std::nullopt;
  const bool first = reader.inputs[0] == value;
  const auto other = PerChannel(editor.ConstantOf(reader.inputs[first ? 1 : 0]), layer, conv);
  if (!other) return std::nullopt;
  Affine affine;
  if (reader.op_type == "Mul") {
    affine.scale = *other;
  } else if (reader.op_type == "Add") {
    affine.shift = *other;
  } else if (reader.op_type == "Div" && first) {
    affine.scale = *other;
    for (double& scale : affine.scale) scale = 1 / scale;
  } else if (reader.op_type == "Sub") {
    affine.shift = *other;
    if (first) {
      for (double& shift : affine.shift) shift = -shift;
    } else {
      affine.scale = {-1};
    }
  } else {
    return std::nullopt;
  }
  return affine;
}

double At(const std::vector<double>& values, std::size_t channel) {
  return values[values.size() == 1 ? 0 : channel];
}

void Apply(ScopeEditor& editor, std::size_t node, const FoldableLayer& layer,
           const Affine& affine) {
  const bool scaled = affine.scale != std::vector<double>{1};
  if (scaled) {
    std::vector<float> weight = FloatsOf(layer.weight);
    for (std::size_t i = 0; i < weight.size(); ++i) {
      weight[i] = static_cast<float>(weight[i] * At(affine.scale, layer.ChannelOf(i)));
    }
    editor.SetInput(node, 1, editor.AddConstant(FloatTensor(layer.weight.dims(), weight)));
  }
  std::vector<float> bias = layer.bias;
  bias.resize(layer.channels);
  for (std::size_t c = 0; c < bias.size(); ++c) {
    bias[c] = static_cast<float>(bias[c] * At(affine.scale, c) + At(affine.shift, c));
  }
  const Dims dims = {static_cast<std::int64_t>(bias.size())};
  editor.SetInput(node, 2, editor.AddConstant(FloatTensor(dims, bias)));
}

// All finite: a folded infinity would make NaN of a zero weight.
bool IsFinite(const Affine& affine) {
  for (const auto* values : {&affine.scale, &affine.shift}) {
    for (const double value : *values) {
      if (!std::isfinite(value) || std::abs(value) > 1e30) return false;
    }
  }
  return true;
}

}  // namespace

bool FoldAffine(Graph& graph, int scope) {
  ScopeEditor editor(graph, scope);
  for (std::size_t i = 0; i < editor.NodeCount(); ++i) {
    if (editor.IsRemoved(i)) continue;
    while (true) {
      const Node& node = editor.node(i);
      const auto layer = LayerOf(editor, node);
      if (!layer) break;
      const std::string value = node.outputs[0];
      const int reader = editor.OnlyReader(value);
      if (reader < 0) break;
      const bool conv = node.op_type == "Conv" || node.op_type == "ConvTranspose";
      const Node& next = editor.node(static_cast<std::size_t>(reader));
      const auto affine = AffineOf(editor, next, value, *layer, conv);
      if (!affine || !IsFinite(*affine)) break;
      const std::string output = next.outputs[0];
      Apply(editor, i, *layer, *affine);
      editor.Remove(static_cast<std::size_t>(reader));
      editor.SetOutput(i, output);
    }
  }
  return editor.changed();
}

}  // namespace espalier::runtime
