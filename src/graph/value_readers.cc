#include "graph/value_readers.h"

#include <fmt/format.h>

namespace espalier {

ValueReaders::ValueReaders(const Graph& graph)
    : graph_(graph),
      defined_(graph.scopes.size()),
      readers_(graph.scopes.size()),
      owners_(graph.scopes.size()) {
  for (const Constant& constant : graph.constants) {
    if (IsScope(constant.scope)) defined_[constant.scope][constant.name] = nullptr;
  }
  for (std::size_t s = 0; s < graph.scopes.size(); ++s) {
    const Scope& scope = graph.scopes[s];
    for (const ValueInfo& input : scope.inputs) defined_[s][input.name] = nullptr;
    for (const Node& node : scope.nodes) {
      for (const std::string& output : node.outputs) defined_[s][output] = &node;
      for (const auto& [attribute, subgraph] : node.subgraphs) {
        if (IsScope(subgraph)) owners_[subgraph] = {static_cast<int>(s), &node};
      }
    }
  }
  for (std::size_t s = 0; s < graph.scopes.size(); ++s) {
    const int scope = static_cast<int>(s);
    for (const Node& node : graph.scopes[s].nodes) {
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        Add(node.inputs[i], {scope, &node, static_cast<int>(i)});
      }
    }
    for (std::size_t i = 0; i < graph.scopes[s].outputs.size(); ++i) {
      Add(graph.scopes[s].outputs[i].name, {scope, nullptr, static_cast<int>(i)});
    }
  }
}

void ValueReaders::Add(const std::string& value, const Reader& reader) {
  if (value.empty()) return;
  int s = reader.scope;
  // At most as many steps as there are scopes, should a hand-made graph's parents form a circle.
  for (std::size_t steps = 0; steps < defined_.size() && IsScope(s); ++steps) {
    if (defined_[s].contains(value)) {
      readers_[s][value].push_back(reader);
      return;
    }
    s = graph_.scopes[s].parent;
  }
}

const std::vector<ValueReaders::Reader>& ValueReaders::Of(int scope,
                                                          const std::string& value) const {
  static const std::vector<Reader> kNone;
  if (!IsScope(scope)) return kNone;
  const auto it = readers_[scope].find(value);
  return it == readers_[scope].end() ? kNone : it->second;
}

const Node* ValueReaders::Maker(int scope, const std::string& value) const {
  if (!IsScope(scope)) return nullptr;
  const auto it = defined_[scope].find(value);
  return it == defined_[scope].end() ? nullptr : it->second;
}

ValueReaders::Crossing ValueReaders::Cross(const Reader& reader) const {
  const auto at = static_cast<std::size_t>(reader.input);
  if (reader.node == nullptr) {
    const Owner& owner = owners_[reader.scope];
    if (owner.node == nullptr || owner.node->op_type != "If" || at >= owner.node->outputs.size()) {
      return {};
    }
    return {owner.scope, owner.node->outputs[at],
            fmt::format("it leaves a branch of {} as an output", NodeText(*owner.node)), false};
  }
  const Node& node = *reader.node;
  if (!node.domain.empty() || (node.op_type != "Loop" && node.op_type != "Scan")) return {};
  const auto body = node.subgraphs.find("body");
  if (body == node.subgraphs.end() || !IsScope(body->second)) return {};
  // Loop: trip count and condition stand where the body has iteration and condition. Scan (opset 9
  // and later): one to one.
  const auto& inputs = graph_.scopes[body->second].inputs;
  if (at >= inputs.size()) return {};
  return {body->second, inputs[at].name,
          fmt::format("it enters the body of {} as an input", NodeText(node)), true};
}

}  // namespace espalier
