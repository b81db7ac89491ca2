#include "espalier/graph/graph.h"

#include <fmt/format.h>

#include <utility>

#include "graph/printable_name.h"

namespace espalier {
namespace {

constexpr int kNotConstant = -1;

}  // namespace

// Names come from files: without this, one could send control sequences to the user's terminal.
std::string PrintableName(std::string_view text) {
  std::string printable;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      printable += fmt::format("\\x{:02x}", byte);
    } else {
      printable += c;
    }
  }
  return printable;
}

ConstantIndex::ConstantIndex(const Graph& graph) : graph_(&graph), by_scope_(graph.scopes.size()) {
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    const Constant& constant = graph.constants[i];
    if (constant.scope < 0 || static_cast<std::size_t>(constant.scope) >= by_scope_.size())
      continue;
    by_scope_[static_cast<std::size_t>(constant.scope)].try_emplace(constant.name,
                                                                    static_cast<int>(i));
  }
  // An initializer that is also listed as an input (all of them before IR version 4) stays one.
  for (std::size_t i = 0; i < graph.scopes.size(); ++i) {
    for (const ValueInfo& input : graph.scopes[i].inputs) {
      by_scope_[i].try_emplace(input.name, kNotConstant);
    }
    for (const Node& node : graph.scopes[i].nodes) {
      for (const std::string& output : node.outputs) {
        by_scope_[i].try_emplace(output, kNotConstant);
      }
    }
  }
}

int ConstantIndex::Find(int scope, std::string_view name) const {
  if (name.empty()) return kNotConstant;  // an optional input left out
  // At most as many steps as there are scopes, should a hand-made graph's parents form a circle.
  for (std::size_t steps = 0; steps < by_scope_.size(); ++steps) {
    if (scope < 0 || static_cast<std::size_t>(scope) >= by_scope_.size()) return kNotConstant;
    const auto& names = by_scope_[static_cast<std::size_t>(scope)];
    if (const auto found = names.find(name); found != names.end()) return found->second;
    scope = graph_->scopes[static_cast<std::size_t>(scope)].parent;
  }
  return kNotConstant;
}

std::optional<std::int64_t> IntAttribute(const Node& node, const std::string& name,
                                         std::int64_t fallback) {
  const auto found = node.attributes.find(name);
  if (found == node.attributes.end()) return fallback;
  if (const auto* value = std::get_if<std::int64_t>(&found->second)) return *value;
  return std::nullopt;
}

std::optional<std::vector<std::int64_t>> IntsAttribute(const Node& node, const std::string& name,
                                                       std::vector<std::int64_t> fallback) {
  const auto found = node.attributes.find(name);
  if (found == node.attributes.end()) return fallback;
  if (const auto* values = std::get_if<std::vector<std::int64_t>>(&found->second)) return *values;
  return std::nullopt;
}

std::string NodeText(const Node& node) {
  const std::string type = PrintableName(node.op_type);
  if (!node.name.empty()) return fmt::format("{} '{}'", type, PrintableName(node.name));
  for (const std::string& output : node.outputs) {
    if (!output.empty()) return fmt::format("{} of '{}'", type, PrintableName(output));
  }
  return fmt::format("{} without a name", type);
}

}  // namespace espalier
