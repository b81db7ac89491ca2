#include <set>

#include "runtime/passes/passes.h"
#include "runtime/passes/scope_editor.h"

namespace espalier::runtime {
namespace {

bool IsIdentity(const Node& node) {
  if (!node.domain.empty() || node.inputs.empty() || node.outputs.empty()) return false;
  if (node.op_type == "Identity") return true;
  const bool mask = node.outputs.size() > 1 && !node.outputs[1].empty();
  const bool may_train = node.inputs.size() > 2 && !node.inputs[2].empty();
  return node.op_type == "Dropout" && !mask && !may_train;
}

// Constants that no node and no output of any scope names.
bool RemoveUnusedConstants(Graph& graph) {
  std::set<std::string, std::less<>> used;
  for (const Scope& scope : graph.scopes) {
    for (const Node& node : scope.nodes) used.insert(node.inputs.begin(), node.inputs.end());
    for (const ValueInfo& output : scope.outputs) used.insert(output.name);
  }
  const std::size_t before = graph.constants.size();
  std::erase_if(graph.constants, [&](const Constant& c) { return !used.contains(c.name); });
  return graph.constants.size() != before;
}

}  // namespace

bool RemoveUnused(Graph& graph, int scope) {
  bool changed = false;
  {
    ScopeEditor editor(graph, scope);
    for (std::size_t i = editor.NodeCount(); i-- > 0;) {
      bool used = false;
      for (const std::string& output : editor.node(i).outputs) {
        used = used || (!output.empty() && editor.UseCount(output) > 0);
      }
      if (!used) editor.Remove(i);
    }
    changed = editor.changed();
  }
  return (scope == 0 && RemoveUnusedConstants(graph)) || changed;
}

bool RemoveIdentities(Graph& graph, int scope) {
  ScopeEditor editor(graph, scope);
  for (std::size_t i = 0; i < editor.NodeCount(); ++i) {
    Node& node = editor.node(i);
    if (!IsIdentity(node)) continue;
    const std::string from = node.outputs[0];
    if (from.empty() || node.inputs[0].empty()) continue;
    // Uses in subgraphs and outputs keep their name, so the node stays for them.
    if (editor.UseCount(from) != static_cast<int>(editor.Readers(from).size())) continue;
    const std::string to = node.inputs[0];
    editor.ReplaceUses(from, to);
    editor.Remove(i);
  }
  return editor.changed();
}

}  // namespace espalier::runtime
