#include "graph/layer_macs.h"

#include <initializer_list>

namespace espalier {
namespace {

const Dims* ShapeOf(const Graph& graph, const ValueShapes& shapes, int scope,
                    const std::string& value) {
  // At most as many steps as there are scopes, should a hand-made graph's parents form a circle.
  for (std::size_t steps = 0; steps < shapes.size(); ++steps) {
    if (scope < 0 || static_cast<std::size_t>(scope) >= shapes.size()) return nullptr;
    const auto it = shapes[scope].find(value);
    if (it != shapes[scope].end()) return &it->second;
    scope = graph.scopes[scope].parent;
  }
  return nullptr;
}

std::optional<std::int64_t> Product(std::initializer_list<std::int64_t> factors) {
  std::int64_t product = 1;
  for (const std::int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

std::optional<std::int64_t> KnownElements(const Dims* dims) {
  if (dims == nullptr) return std::nullopt;
  std::int64_t elements = 1;
  for (const std::int64_t dim : *dims) {
    const auto next = Product({elements, dim});
    if (!next) return std::nullopt;
    elements = *next;
  }
  return elements;
}

}  // namespace

std::optional<std::int64_t> LayerMacs(const Graph& graph, const ValueShapes& shapes, int scope,
                                      const Node& node, const WeightView& view) {
  if (node.inputs.empty() || node.outputs.empty()) return std::nullopt;
  const auto input = KnownElements(ShapeOf(graph, shapes, scope, node.inputs[0]));
  // Each input element meets every weight of its channel: K / groups outputs, all positions.
  if (node.op_type == "ConvTranspose" || node.op_type == "Attention") {
    return input ? Product({*input, view.out.size, view.PositionCount()}) : std::nullopt;
  }
  // Every weight is used once a time step; RNN-family inputs are [steps, batch, channels] in any
  // order.
  if (node.op_type == "LSTM" || node.op_type == "GRU" || node.op_type == "RNN") {
    const Dims* dims = ShapeOf(graph, shapes, scope, node.inputs[0]);
    if (!input || dims->size() != 3 || dims->back() < 1) return std::nullopt;
    return Product({*input / dims->back(), view.Elements()});
  }
  // Convolutions and matrix products: each output element is a sum over channels and positions.
  const auto output = KnownElements(ShapeOf(graph, shapes, scope, node.outputs[0]));
  return output ? Product({*output, view.in.size, view.PositionCount()}) : std::nullopt;
}

}  // namespace espalier
