#include "train/trainable_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "espalier/base/error.h"

namespace espalier::train {
namespace {

class Builder {
 public:
  explicit Builder(const Graph& graph) : graph_(graph), names_(graph.scopes.size()) {
    program_.scopes.resize(graph.scopes.size());
  }

  TrainProgram Build() {
    for (std::size_t i = 0; i < graph_.constants.size(); ++i) {
      const Constant& constant = graph_.constants[i];
      const int slot = Define(constant.scope, constant.name);
      program_.constants[static_cast<std::size_t>(slot)] = static_cast<int>(i);
    }
    BuildScope(0);
    program_.main = {names_[0].begin(), names_[0].end()};
    return std::move(program_);
  }

 private:
  int Define(int scope, const std::string& name) {
    if (name.empty()) return -1;
    const auto [found, added] =
        names_[static_cast<std::size_t>(scope)].try_emplace(name, program_.slot_count());
    if (added) {
      program_.names.push_back(name);
      program_.defined_in.push_back(scope);
      program_.constants.push_back(-1);
    }
    return found->second;
  }

  int Find(int scope, const std::string& name, const std::string& reader) const {
    if (name.empty()) return -1;
    for (int at = scope; at >= 0; at = graph_.scopes[static_cast<std::size_t>(at)].parent) {
      const auto& names = names_[static_cast<std::size_t>(at)];
      if (const auto found = names.find(name); found != names.end()) return found->second;
    }
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} reads '{}', which nothing before it defines", reader, name));
  }

  void BuildScope(int index) {
    const Scope& scope = graph_.scopes[static_cast<std::size_t>(index)];
    ScopeSteps& steps = program_.scopes[static_cast<std::size_t>(index)];
    for (const ValueInfo& input : scope.inputs) steps.inputs.push_back(Define(index, input.name));
    for (const Node& node : scope.nodes) steps.steps.push_back(BuildStep(index, node));
    for (const ValueInfo& output : scope.outputs) {
      steps.outputs.push_back(Find(index, output.name, "the list of outputs"));
    }
  }

  Step BuildStep(int scope, const Node& node) {
    Step step{scope, node, RequiredOp(node), {}, {}, {}};
    CheckCounts(node);
    for (const std::string& input : node.inputs) {
      step.inputs.push_back(Find(scope, input, NodeText(node)));
    }
    for (const auto& [attribute, subgraph] : node.subgraphs) BuildScope(subgraph);
    for (const std::string& output : node.outputs) step.outputs.push_back(Define(scope, output));
    return step;
  }

  // What the searches for weights and patterns take for granted.
  static void CheckCounts(const Node& node) {
    constexpr std::array kBinary = {"Add", "Sub", "Mul", "Div", "Pow", "MatMul"};
    const bool binary = std::find(kBinary.begin(), kBinary.end(), node.op_type) != kBinary.end();
    if (node.outputs.empty() || node.inputs.empty() || (binary && node.inputs.size() != 2))
      ThrowMalformed(node, fmt::format("has {} inputs and {} outputs", node.inputs.size(),
                                       node.outputs.size()));
  }

  static const OpEntry* RequiredOp(const Node& node) {
    const OpEntry* op = FindOp(node.domain, node.op_type);
    if (op == nullptr) {
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("{} cannot be trained: there is no gradient for operator {}{}{}",
                      NodeText(node), node.domain, node.domain.empty() ? "" : ":", node.op_type));
    }
    const std::string refusal = op->refusal == nullptr ? "" : op->refusal(node);
    if (refusal.empty()) return op;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{} cannot be trained: it uses {}", NodeText(node), refusal));
  }

  const Graph& graph_;
  std::vector<std::map<std::string, int>> names_;  // by scope
  TrainProgram program_;
};

void CollectReads(const TrainProgram& program, const Step& step, std::set<int>* reads) {
  for (const int slot : step.inputs) {
    if (slot >= 0) reads->insert(slot);
  }
  for (const auto& [attribute, scope] : step.node.subgraphs) {
    const ScopeSteps& inner = program.scopes[static_cast<std::size_t>(scope)];
    for (const Step& inner_step : inner.steps) CollectReads(program, inner_step, reads);
    reads->insert(inner.outputs.begin(), inner.outputs.end());
  }
}

}  // namespace

TrainProgram MakeTrainProgram(const Graph& graph) { return Builder(graph).Build(); }

std::vector<int> ReadsOf(const TrainProgram& program, const Step& step) {
  std::set<int> reads;
  CollectReads(program, step, &reads);
  return {reads.begin(), reads.end()};
}

void FindLastReaders(TrainProgram* program) {
  for (std::size_t index = 0; index < program->scopes.size(); ++index) {
    ScopeSteps& scope = program->scopes[index];
    std::set<int> needed(scope.outputs.begin(), scope.outputs.end());
    for (auto step = scope.steps.rbegin(); step != scope.steps.rend(); ++step) {
      step->released.clear();
      std::vector<int> touched = ReadsOf(*program, *step);
      touched.insert(touched.end(), step->outputs.begin(), step->outputs.end());
      for (const int slot : touched) {
        if (slot < 0 || program->constants[static_cast<std::size_t>(slot)] >= 0) continue;
        if (program->defined_in[static_cast<std::size_t>(slot)] != static_cast<int>(index))
          continue;
        if (needed.insert(slot).second) step->released.push_back(slot);
      }
    }
  }
}

std::vector<std::size_t> FindSlicesOfOneValue(TrainProgram* program) {
  std::map<int, std::vector<Step*>> slices;
  for (Step& step : program->scopes[0].steps) {
    if (step.node.op_type == "Slice" && !step.inputs.empty())
      slices[step.inputs[0]].push_back(&step);
  }
  std::vector<std::size_t> counts;
  for (const auto& [slot, steps] : slices) {
    if (steps.size() < 2) continue;
    for (Step* const step : steps) step->cuts = static_cast<int>(counts.size());
    counts.push_back(steps.size());
  }
  return counts;
}

}  // namespace espalier::train
