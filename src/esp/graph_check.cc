#include "esp/graph_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "io/limits.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

std::string DimsProblem(const Dims& dims, std::int64_t least) {
  if (dims.size() > kMostDimensions) {
    return fmt::format("has {} dimensions, the most is {}", dims.size(), kMostDimensions);
  }
  for (const std::int64_t dim : dims) {
    if (dim < least) return fmt::format("has a dimension of {}", dim);
  }
  return {};
}

std::string TensorProblem(const Tensor& tensor) {
  std::string problem = DimsProblem(tensor.dims(), 0);
  if (!problem.empty()) return problem;
  const std::uint64_t needed = TensorByteCount(tensor.dtype(), tensor.dims());
  if (tensor.bytes().size() == needed) return {};
  return fmt::format("holds {} bytes of {}", tensor.bytes().size(), needed);
}

class Checker {
 public:
  explicit Checker(const Graph& graph) : graph_(graph) {}

  std::string Problem() {
    if (graph_.scopes.empty()) return "the graph has no scope";
    for (std::size_t i = 0; i < graph_.scopes.size() && problem_.empty(); ++i) {
      CheckScope(static_cast<int>(i));
    }
    if (problem_.empty()) CheckConstants();
    for (std::size_t i = 0; i < graph_.scopes.size() && problem_.empty(); ++i) {
      for (const Node& node : graph_.scopes[i].nodes) CheckNode(static_cast<int>(i), node);
    }
    return std::move(problem_);
  }

 private:
  void Note(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  void CheckScope(int index) {
    const Scope& scope = graph_.scopes[static_cast<std::size_t>(index)];
    const bool main = index == 0;
    const bool root = main || scope.kind == Scope::Kind::kFunction;
    if (main != (scope.kind == Scope::Kind::kMain)) {
      Note(fmt::format("scope {} is of the wrong kind: scope 0 alone is the main graph", index));
    } else if (root ? scope.parent != -1 : scope.parent < 0 || scope.parent >= index) {
      Note(fmt::format("scope {} has parent {}", index, scope.parent));
    } else {
      depth_.push_back(root ? 1 : depth_[static_cast<std::size_t>(scope.parent)] + 1);
      if (depth_.back() > kMostScopeDepth) {
        Note(fmt::format("scope {} lies inside {} others, the most is {}", index, depth_.back() - 1,
                         kMostScopeDepth - 1));
      }
    }
    for (const auto* values : {&scope.inputs, &scope.outputs, &scope.values}) {
      for (const ValueInfo& value : *values) {
        if (!value.dims) continue;
        const std::string problem = DimsProblem(*value.dims, -1);
        if (!problem.empty()) Note(fmt::format("value {} {}", Quote(value.name), problem));
      }
    }
  }

  void CheckConstants() {
    for (const Constant& constant : graph_.constants) {
      if (constant.scope < 0 || constant.scope >= static_cast<int>(graph_.scopes.size())) {
        Note(fmt::format("constant {} is in scope {} of {}", Quote(constant.name), constant.scope,
                         graph_.scopes.size()));
      }
      const std::string problem = TensorProblem(constant.tensor);
      if (!problem.empty()) Note(fmt::format("constant {} {}", Quote(constant.name), problem));
      if (!names_.emplace(constant.scope, constant.name).second) {
        Note(fmt::format("two constants of scope {} have the name {}", constant.scope,
                         Quote(constant.name)));
      }
    }
  }

  void CheckNode(int scope, const Node& node) {
    for (const std::string& output : node.outputs) {
      if (!output.empty() && names_.contains({scope, output})) {
        Note(fmt::format("{} is both a constant and an output of {}", Quote(output),
                         NodeText(node)));
      }
    }
    for (const auto& [name, index] : node.subgraphs) {
      const bool known = index > 0 && index < static_cast<int>(graph_.scopes.size());
      if (!known || graph_.scopes[static_cast<std::size_t>(index)].parent != scope ||
          !used_.insert(index).second) {
        Note(fmt::format("attribute {} of {} is not a subgraph of its own: scope {}", Quote(name),
                         NodeText(node), index));
      }
    }
    for (const auto& [name, attribute] : node.attributes) {
      const Tensor* tensor = std::get_if<Tensor>(&attribute);
      const std::string problem = tensor == nullptr ? "" : TensorProblem(*tensor);
      if (!problem.empty()) {
        Note(fmt::format("attribute {} of {} {}", Quote(name), NodeText(node), problem));
      }
    }
  }

  const Graph& graph_;
  std::string problem_;
  std::vector<int> depth_;
  std::set<std::pair<int, std::string_view>> names_;  // of constants, with their scope
  std::set<int> used_;                                // scopes that are a node's subgraph
};

}  // namespace

std::string GraphProblem(const Graph& graph) { return Checker(graph).Problem(); }

}  // namespace espalier::internal
