#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "espalier/base/error.h"
#include "train/tensor_convert.h"
#include "train/trainable.h"

namespace espalier::train {
namespace {

using ConstantPlaces = std::map<std::pair<int, std::string>, std::size_t>;

ConstantPlaces PlacesOf(const Graph& graph) {
  ConstantPlaces places;
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    places.emplace(std::pair(graph.constants[i].scope, graph.constants[i].name), i);
  }
  return places;
}

std::size_t PlaceOf(const ConstantPlaces& places, int scope, const std::string& name) {
  if (const auto found = places.find({scope, name}); found != places.end()) return found->second;
  throw Error(ErrorCode::kInternal, fmt::format("the graph to write has no constant '{}'", name));
}

Node* NodeOf(Graph* graph, const std::string& output) {
  for (Node& node : graph->scopes[0].nodes) {
    if (!node.outputs.empty() && node.outputs[0] == output) return &node;
  }
  throw Error(ErrorCode::kInternal,
              fmt::format("the graph to write has no node that computes '{}'", output));
}

void Store(const at::Tensor& now, Constant* constant) {
  if (now.sizes() != at::IntArrayRef(constant->tensor.dims())) {
    throw Error(
        ErrorCode::kInternal,
        fmt::format("constant '{}' of the graph to write has another shape than was trained",
                    constant->name));
  }
  Tensor changed = WithChanges(constant->tensor, now);
  if (SameBytes(changed, constant->tensor)) return;
  constant->tensor = std::move(changed);
  constant->modified = true;
}

void AddConstant(Graph* graph, const std::string& name, Tensor tensor) {
  graph->constants.push_back({name, 0, std::move(tensor), /*modified=*/true});
}

// Normalization and convolution as one: w * scale / sqrt(variance + epsilon), zeros stay zeros.
void FoldNorm(const InsertedNorm& norm, const std::vector<TrainTensor>& parameters,
              const std::vector<TrainTensor>& buffers, std::map<std::string, at::Tensor>* values) {
  const at::Tensor deviation = at::sqrt(buffers[norm.variance].tensor + InsertedNorm::kEpsilon);
  const at::Tensor factor = parameters[norm.scale].tensor.detach() / deviation;
  at::Tensor& weight = values->at(norm.weight);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(weight.dim()), 1);
  shape[0] = weight.size(0);
  weight = weight * factor.reshape(shape) + 0.0;  // a negative factor makes -0 of 0; -0 + 0 is +0
  (*values)[norm.bias] =
      parameters[norm.shift].tensor.detach() - buffers[norm.mean].tensor * factor;
}

}  // namespace

// What the constants of the main graph are after training.
std::map<std::string, at::Tensor> Trainable::MainValues() const {
  std::map<std::string, at::Tensor> values;
  for (const auto* list : {&parameters_, &buffers_}) {
    for (const TrainTensor& tensor : *list) {
      if (tensor.slot < 0 || program_.defined_in[static_cast<std::size_t>(tensor.slot)] != 0)
        continue;
      values[program_.names[static_cast<std::size_t>(tensor.slot)]] = tensor.tensor.detach();
    }
  }
  for (const InsertedNorm& norm : norms_) FoldNorm(norm, parameters_, buffers_, &values);
  return values;
}

void Trainable::WriteTo(Graph* graph) const {
  const at::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> values = MainValues();
  const ConstantPlaces places = PlacesOf(*graph);
  std::set<std::string> added;  // what the caller's graph may not have yet
  for (const auto& [name, source] : merged_) added.insert(name);
  for (const InsertedNorm& norm : norms_) {
    if (norm.adds_bias) added.insert(norm.bias);
  }
  for (const auto& [name, tensor] : values) {
    if (added.contains(name) && !places.contains({0, name})) continue;
    Store(tensor, &graph->constants[PlaceOf(places, 0, name)]);
  }
  for (const auto* list : {&parameters_, &buffers_}) {
    for (const TrainTensor& tensor : *list) {
      if (tensor.slot < 0) continue;
      const int scope = program_.defined_in[static_cast<std::size_t>(tensor.slot)];
      const std::string& name = program_.names[static_cast<std::size_t>(tensor.slot)];
      if (scope != 0) Store(tensor.tensor, &graph->constants[PlaceOf(places, scope, name)]);
    }
  }
  WriteMerged(values, graph);
  for (const InsertedNorm& norm : norms_) {
    if (!norm.adds_bias || places.contains({0, norm.bias})) continue;
    const Tensor& weight = graph->constants[PlacesOf(*graph).at({0, norm.weight})].tensor;
    AddConstant(graph, norm.bias, FromTorch(values.at(norm.bias), weight.dtype()));
    Node* const node = NodeOf(graph, norm.output);
    node->inputs.resize(3);
    node->inputs[2] = norm.bias;
  }
}

// An Identity stays as long as its source still has its values.
void Trainable::WriteMerged(const std::map<std::string, at::Tensor>& values, Graph* graph) const {
  std::map<std::string, Tensor> now;  // of all constants of the main graph, as they will be written
  for (const Constant& constant : graph->constants) {
    if (constant.scope == 0) now.emplace(constant.name, constant.tensor);
  }
  for (std::size_t i = 0; i < merged_.size(); ++i) {
    const auto& [name, source] = merged_[i];
    if (now.contains(name)) continue;  // written apart before
    Tensor tensor = graph_.constants[stated_constants_ + i].tensor;
    if (const auto found = values.find(name); found != values.end())
      tensor = WithChanges(tensor, found->second);
    const bool same = SameBytes(tensor, now.at(source));
    now.emplace(name, tensor);
    if (same) continue;
    std::erase_if(graph->scopes[0].nodes, [&](const Node& node) {
      return !node.outputs.empty() && node.outputs[0] == name;
    });
    AddConstant(graph, name, std::move(tensor));
  }
}

}  // namespace espalier::train
