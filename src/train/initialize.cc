#include "espalier/train/initialize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <span>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "espalier/graph/layers.h"

namespace espalier::train {
namespace {

std::span<float> Floats(Constant* constant) {
  constant->modified = true;
  const std::span<std::byte> bytes = constant->tensor.MutableBytes();
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

// Uniform in (0, 1].
double Uniform(std::uint64_t seed, std::uint64_t index) {
  return (static_cast<double>(RandomAt(seed, index) >> 11) + 1) * 0x1p-53;
}

void DrawNormal(std::span<float> values, double deviation, std::uint64_t seed) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(Uniform(seed, 2 * i)));
    const double angle = 2 * std::numbers::pi * Uniform(seed, 2 * i + 1);
    values[i] = static_cast<float>(deviation * radius * std::cos(angle));
  }
}

// The float32 constant that a node reads as its input `index`; null if there is none.
Constant* Operand(Graph* graph, const ConstantIndex& constants, const Node& node,
                  std::size_t index) {
  if (index >= node.inputs.size() || node.inputs[index].empty()) return nullptr;
  const int found = constants.Find(0, node.inputs[index]);
  if (found < 0) return nullptr;
  Constant& constant = graph->constants[static_cast<std::size_t>(found)];
  return constant.tensor.dtype() == DType::kFloat32 ? &constant : nullptr;
}

void Fill(Constant* constant, float value) {
  if (constant != nullptr) std::ranges::fill(Floats(constant), value);
}

}  // namespace

void DrawWeights(Graph* graph, std::uint64_t seed) {
  const std::vector<Layer> layers = FindLayers(*graph);
  std::size_t drawn = 0;
  for (const Layer& layer : layers) {
    if (!layer.refusal.empty()) continue;
    if (layer.dtype != DType::kFloat32) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{} has weights of {}; training from scratch draws float32",
                              layer.name, DTypeName(layer.dtype)));
    }
    const auto inputs = static_cast<double>(layer.view.in.size * layer.view.PositionCount());
    DrawNormal(Floats(&graph->constants[static_cast<std::size_t>(layer.constant)]),
               std::sqrt(2 / inputs), SeedFor(seed, layer.name));
    ++drawn;
  }
  if (drawn == 0) {
    throw Error(ErrorCode::kUnsupported, "the network has no layer to train from scratch");
  }
  const ConstantIndex constants(*graph);
  for (const Node& node : graph->scopes[0].nodes) {
    const bool layer =
        node.op_type == "Conv" || node.op_type == "ConvTranspose" || node.op_type == "Gemm";
    if (layer) Fill(Operand(graph, constants, node, 2), 0);
    if (node.op_type != "BatchNormalization") continue;
    const float values[] = {1, 0, 0, 1};  // scale, shift, mean, variance
    for (std::size_t i = 0; i < 4; ++i) Fill(Operand(graph, constants, node, i + 1), values[i]);
  }
}

}  // namespace espalier::train
