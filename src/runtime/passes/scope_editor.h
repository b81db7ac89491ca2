#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier::runtime {

/// One scope of a graph while a pass changes it: who makes and who reads each value. Nodes that are
/// taken out stay in the list, marked, until the editor goes.
class ScopeEditor {
 public:
  ScopeEditor(Graph& graph, int scope);
  /// Erases the nodes that were taken out.
  ~ScopeEditor();
  ScopeEditor(const ScopeEditor&) = delete;
  ScopeEditor& operator=(const ScopeEditor&) = delete;

  std::size_t NodeCount() const { return nodes().size(); }
  Node& node(std::size_t i) { return nodes()[i]; }
  bool IsRemoved(std::size_t i) const { return removed_[i]; }

  /// Index of the node that makes a value here; -1 for inputs, constants and outer values.
  int Maker(std::string_view value) const;
  /// Uses of a value: by nodes, by nodes in subgraphs, as an output of the scope.
  int UseCount(std::string_view value) const;
  /// The nodes of this scope that read a value, each once a use, in order.
  std::vector<int> Readers(std::string_view value) const;
  /// The node that is the only one to use a value; -1 if there are more uses, or others.
  int OnlyReader(std::string_view value) const;
  bool IsOutput(std::string_view value) const;

  /// The constant that a name means here; null if it is none.
  const Tensor* ConstantOf(std::string_view name) const;
  /// The value of a constant with one float32 element.
  bool ScalarOf(std::string_view name, float& value) const;
  /// Adds a constant under a new name.
  std::string AddConstant(Tensor tensor);
  /// Adds a constant under the name of a value that a removed node made.
  void AddConstant(const std::string& name, Tensor tensor);

  /// Takes a node out. Its inputs lose a use.
  void Remove(std::size_t i);
  /// Lets node `i` make `value` in place of its output 0.
  void SetOutput(std::size_t i, const std::string& value);
  /// Sets input `k` of node `i`, growing the list if necessary.
  void SetInput(std::size_t i, std::size_t k, const std::string& value);
  /// Lets all uses of `from` use `to`. `from` must not be an output of the scope.
  void ReplaceUses(const std::string& from, const std::string& to);
  /// Swaps the places of two nodes.
  void Swap(std::size_t i, std::size_t j);

  bool changed() const { return changed_; }

 private:
  const std::vector<Node>& nodes() const { return graph_.scopes[scope_].nodes; }
  std::vector<Node>& nodes() { return graph_.scopes[scope_].nodes; }
  void CountInner(int scope);

  Graph& graph_;
  std::size_t scope_;
  std::vector<bool> removed_;
  std::unordered_map<std::string, int> makers_;
  std::unordered_map<std::string, std::vector<int>> readers_;
  std::unordered_map<std::string, int> other_uses_;  // subgraphs, outputs
  std::unordered_map<std::string, int> outputs_;
  std::vector<std::unordered_map<std::string, int>> constants_;  // this scope, then outwards
  std::size_t new_names_ = 0;
  bool changed_ = false;
};

}  // namespace espalier::runtime
