#include "runtime/passes/scope_editor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace espalier::runtime {

ScopeEditor::ScopeEditor(Graph& graph, int scope)
    : graph_(graph), scope_(static_cast<std::size_t>(scope)), removed_(nodes().size()) {
  for (std::size_t i = 0; i < nodes().size(); ++i) {
    const Node& node = nodes()[i];
    for (const std::string& output : node.outputs) {
      if (!output.empty()) makers_.emplace(output, static_cast<int>(i));
    }
    for (const std::string& input : node.inputs) {
      if (!input.empty()) readers_[input].push_back(static_cast<int>(i));
    }
    for (const auto& [attribute, inner] : node.subgraphs) CountInner(inner);
  }
  for (const ValueInfo& output : graph_.scopes[scope_].outputs) {
    ++other_uses_[output.name];
    ++outputs_[output.name];
  }
  for (int s = scope; s >= 0; s = graph_.scopes[static_cast<std::size_t>(s)].parent) {
    auto& names = constants_.emplace_back();
    for (std::size_t c = 0; c < graph_.constants.size(); ++c) {
      if (graph_.constants[c].scope == s) {
        names.emplace(graph_.constants[c].name, static_cast<int>(c));
      }
    }
  }
}

ScopeEditor::~ScopeEditor() {
  std::size_t kept = 0;
  auto& list = nodes();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (removed_[i]) continue;
    if (kept != i) list[kept] = std::move(list[i]);
    ++kept;
  }
  list.resize(kept);
}

// A name that an inner scope defines itself is counted, too: that only makes the passes careful.
void ScopeEditor::CountInner(int scope) {
  const Scope& inner = graph_.scopes[static_cast<std::size_t>(scope)];
  for (const Node& node : inner.nodes) {
    for (const std::string& input : node.inputs) ++other_uses_[input];
    for (const auto& [attribute, deeper] : node.subgraphs) CountInner(deeper);
  }
  for (const ValueInfo& output : inner.outputs) ++other_uses_[output.name];
}

int ScopeEditor::Maker(std::string_view value) const {
  const auto it = makers_.find(std::string(value));
  return it == makers_.end() ? -1 : it->second;
}

std::vector<int> ScopeEditor::Readers(std::string_view value) const {
  const auto it = readers_.find(std::string(value));
  return it == readers_.end() ? std::vector<int>() : it->second;
}

int ScopeEditor::UseCount(std::string_view value) const {
  const auto other = other_uses_.find(std::string(value));
  return static_cast<int>(Readers(value).size()) + (other == other_uses_.end() ? 0 : other->second);
}

int ScopeEditor::OnlyReader(std::string_view value) const {
  const std::vector<int> readers = Readers(value);
  return readers.size() == 1 && UseCount(value) == 1 ? readers[0] : -1;
}

bool ScopeEditor::IsOutput(std::string_view value) const {
  return outputs_.contains(std::string(value));
}

const Tensor* ScopeEditor::ConstantOf(std::string_view name) const {
  if (name.empty() || Maker(name) >= 0) return nullptr;
  for (const auto& names : constants_) {
    const auto it = names.find(std::string(name));
    if (it != names.end()) return &graph_.constants[static_cast<std::size_t>(it->second)].tensor;
  }
  return nullptr;
}

bool ScopeEditor::ScalarOf(std::string_view name, float& value) const {
  const Tensor* tensor = ConstantOf(name);
  if (tensor == nullptr || tensor->dtype() != DType::kFloat32 || tensor->elements() != 1) {
    return false;
  }
  std::memcpy(&value, tensor->bytes().data(), sizeof value);
  return true;
}

std::string ScopeEditor::AddConstant(Tensor tensor) {
  std::string name;
  do {
    name = fmt::format("espalier.constant.{}", new_names_++);
  } while (constants_.front().contains(name) || makers_.contains(name) || readers_.contains(name) ||
           other_uses_.contains(name));
  AddConstant(name, std::move(tensor));
  return name;
}

void ScopeEditor::AddConstant(const std::string& name, Tensor tensor) {
  constants_.front().insert_or_assign(name, static_cast<int>(graph_.constants.size()));
  makers_.erase(name);
  Constant constant;
  constant.name = name;
  constant.scope = static_cast<int>(scope_);
  constant.tensor = std::move(tensor);
  graph_.constants.push_back(std::move(constant));
}

void ScopeEditor::Remove(std::size_t i) {
  for (const std::string& input : nodes()[i].inputs) {
    auto& readers = readers_[input];
    const auto it = std::ranges::find(readers, static_cast<int>(i));
    if (it != readers.end()) readers.erase(it);
  }
  for (const std::string& output : nodes()[i].outputs) {
    if (Maker(output) == static_cast<int>(i)) makers_.erase(output);
  }
  removed_[i] = true;
  changed_ = true;
}

void ScopeEditor::SetOutput(std::size_t i, const std::string& value) {
  makers_.erase(nodes()[i].outputs[0]);
  nodes()[i].outputs[0] = value;
  makers_.insert_or_assign(value, static_cast<int>(i));
  changed_ = true;
}

void ScopeEditor::SetInput(std::size_t i, std::size_t k, const std::string& value) {
  auto& inputs = nodes()[i].inputs;
  if (inputs.size() <= k) inputs.resize(k + 1);
  if (!inputs[k].empty()) {
    auto& readers = readers_[inputs[k]];
    const auto it = std::ranges::find(readers, static_cast<int>(i));
    if (it != readers.end()) readers.erase(it);
  }
  inputs[k] = value;
  if (!value.empty()) readers_[value].push_back(static_cast<int>(i));
  changed_ = true;
}

void ScopeEditor::ReplaceUses(const std::string& from, const std::string& to) {
  for (const int reader : Readers(from)) {
    for (std::string& input : nodes()[static_cast<std::size_t>(reader)].inputs) {
      if (input == from) input = to;
    }
    readers_[to].push_back(reader);
  }
  readers_.erase(from);
  changed_ = true;
}

void ScopeEditor::Swap(std::size_t i, std::size_t j) {
  std::swap(nodes()[i], nodes()[j]);
  const bool removed = removed_[i];
  removed_[i] = removed_[j];
  removed_[j] = removed;
  const auto moved = [&](std::size_t from, std::size_t to, const Node& node) {
    for (const std::string& output : node.outputs) {
      if (!output.empty() && !removed_[to]) makers_.insert_or_assign(output, static_cast<int>(to));
    }
    for (const std::string& input : node.inputs) {
      if (input.empty() || removed_[to]) continue;
      for (int& reader : readers_[input]) {
        if (reader == static_cast<int>(from)) reader = -2 - static_cast<int>(to);
      }
    }
  };
  moved(j, i, nodes()[i]);
  moved(i, j, nodes()[j]);
  for (const std::size_t k : {i, j}) {
    for (const std::string& input : nodes()[k].inputs) {
      for (int& reader : readers_[input]) {
        if (reader <= -2) reader = -2 - reader;
      }
    }
  }
}

}  // namespace espalier::runtime
