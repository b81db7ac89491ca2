#include "graph/computed_constants.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "graph/weight_role.h"

namespace espalier {
namespace {

// Readers looked at behind one crossing: keeps hostile files linear, real ones have two or three.
constexpr int kMostCrossed = 1000;

bool IsOneOf(const std::string& text, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, text) != list.end();
}

bool IsRandom(const Node& node) {
  return node.op_type.starts_with("Random") || IsOneOf(node.op_type, {"Bernoulli", "Multinomial"});
}

std::size_t GivenInputs(const Node& node) {
  return static_cast<std::size_t>(
      std::ranges::count_if(node.inputs, [](const std::string& input) { return !input.empty(); }));
}

std::string FunctionName(const Node& node) {
  return (node.domain.empty() ? "ai.onnx" : node.domain) + "." + node.op_type;
}

}  // namespace

bool IsMove(const Node& node) {
  return node.domain.empty() &&
         IsOneOf(node.op_type, {"Identity", "Cast", "CastLike", "Transpose", "Reshape", "Squeeze",
                                "Unsqueeze", "Flatten", "QuantizeLinear", "DequantizeLinear"});
}

ComputedConstants::ComputedConstants(const Graph& graph, const ValueReaders& readers)
    : readers_(readers) {
  for (const Scope& scope : graph.scopes) {
    if (scope.kind == Scope::Kind::kFunction) functions_.insert(scope.name);
  }
  FindComputed(graph);
  FindWeights(graph);
}

void ComputedConstants::FindComputed(const Graph& graph) {
  std::map<const Node*, std::size_t> missing;  // inputs that are not known to be constant
  std::vector<std::pair<int, std::string>> known;
  for (const Constant& constant : graph.constants)
    known.emplace_back(constant.scope, constant.name);
  for (std::size_t s = 0; s < graph.scopes.size(); ++s) {
    for (const Node& node : graph.scopes[s].nodes) {
      if (!node.subgraphs.empty() || IsRandom(node) || functions_.contains(FunctionName(node))) {
        continue;
      }
      const std::size_t inputs = GivenInputs(node);
      if (inputs > 0) missing[&node] = inputs;
      // A Constant that the reader left as a node: a sparse one.
      if (inputs > 0 || node.op_type != "Constant") continue;
      computed_.insert(&node);
      for (const std::string& output : node.outputs) known.emplace_back(s, output);
    }
  }
  std::set<std::pair<int, std::string>> seen;
  while (!known.empty()) {
    const auto value = std::move(known.back());
    known.pop_back();
    if (!seen.insert(value).second) continue;
    for (const Reader& reader : readers_.Of(value.first, value.second)) {
      const auto it = missing.find(reader.node);
      if (it == missing.end() || --it->second > 0) continue;
      computed_.insert(reader.node);
      for (const std::string& output : reader.node->outputs) {
        if (!output.empty()) known.emplace_back(reader.scope, output);
      }
    }
  }
}

// Walks back from the weight inputs.
void ComputedConstants::FindWeights(const Graph& graph) {
  std::map<const Node*, std::vector<const Node*>> makers;  // of a computed node's inputs
  std::vector<const Node*> found;
  for (int s = 0; s < static_cast<int>(graph.scopes.size()); ++s) {
    for (const auto& [value, readers] : readers_.All(s)) {
      const Node* maker = readers_.Maker(s, value);
      if (!computed_.contains(maker)) continue;
      for (const Reader& reader : readers) {
        if (const auto weight = WeightReader(reader)) {
          if (weights_.emplace(maker, *weight).second) found.push_back(maker);
        } else if (Follows(reader)) {
          makers[reader.node].push_back(maker);
        }
      }
    }
  }
  while (!found.empty()) {
    const Node* node = found.back();
    found.pop_back();
    const Reader weight = weights_.at(node);
    for (const Node* maker : makers[node]) {
      if (weights_.emplace(maker, weight).second) found.push_back(maker);
    }
  }
}

bool ComputedConstants::Follows(const Reader& reader) const {
  return computed_.contains(reader.node) && (reader.input == 0 || !IsMove(*reader.node));
}

std::optional<ComputedConstants::Reader> ComputedConstants::WeightReader(
    const Reader& reader) const {
  if (reader.node != nullptr && IsWeightInput(*reader.node, reader.input)) return reader;
  const auto crossed = WeightAcross(reader);
  return crossed ? std::optional<Reader>(crossed->weight) : std::nullopt;
}

std::optional<ComputedConstants::Reader> ComputedConstants::WeightOf(const Reader& reader) const {
  if (!Follows(reader)) return std::nullopt;
  const auto it = weights_.find(reader.node);
  return it == weights_.end() ? std::nullopt : std::optional<Reader>(it->second);
}

std::optional<ComputedConstants::Crossed> ComputedConstants::WeightAcross(
    const Reader& reader) const {
  ValueReaders::Crossing first = readers_.Cross(reader);
  if (first.scope < 0) return std::nullopt;
  std::vector<std::pair<int, std::string>> values = {{first.scope, first.value}};
  bool enters_body = first.enters_body;
  int left = kMostCrossed;
  while (!values.empty()) {
    const auto value = std::move(values.back());
    values.pop_back();
    for (const Reader& next : readers_.Of(value.first, value.second)) {
      if (--left < 0) return std::nullopt;
      if (next.node != nullptr && IsWeightInput(*next.node, next.input)) {
        // The left operand of a product in a body is the state of a recurrence.
        if (!enters_body || !IsLeftOperand(*next.node, next.input))
          return Crossed{next, first.text};
      } else if (next.node != nullptr && IsMove(*next.node) && next.input == 0) {
        for (const std::string& output : next.node->outputs)
          values.emplace_back(next.scope, output);
      } else if (const auto again = readers_.Cross(next); again.scope >= 0) {
        enters_body = enters_body || again.enters_body;
        values.emplace_back(again.scope, again.value);
      }
    }
  }
  return std::nullopt;
}

}  // namespace espalier
