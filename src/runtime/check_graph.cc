#include "runtime/check_graph.h"

#include <fmt/format.h>

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/base/error.h"

namespace espalier::runtime {
namespace {

// Scopes inside each other: walks over the graph call themselves. Files have up to 64.
constexpr int kMostDepth = 128;

[[noreturn]] void Throw(const std::string& problem) { throw Error(ErrorCode::kBadFile, problem); }

class Checker {
 public:
  explicit Checker(const Graph& graph) : graph_(graph), depths_(graph.scopes.size()) {}

  void Check() {
    if (graph_.scopes.empty()) Throw("the graph has no scope");
    for (const Constant& constant : graph_.constants) CheckConstant(constant);
    for (std::size_t i = 0; i < graph_.scopes.size(); ++i) CheckScope(static_cast<int>(i));
  }

 private:
  void Make(int scope, const std::string& name) {
    if (name.empty() || made_.emplace(scope, name).second) return;
    Throw(fmt::format("two things make the value '{}'", name));
  }

  void CheckConstant(const Constant& constant) {
    const Tensor& tensor = constant.tensor;
    if (constant.scope < 0 || constant.scope >= static_cast<int>(graph_.scopes.size())) {
      Throw(fmt::format("constant '{}' is in scope {}", constant.name, constant.scope));
    }
    if (tensor.bytes().size() != TensorByteCount(tensor.dtype(), tensor.dims())) {
      Throw(fmt::format("constant '{}' holds {} bytes", constant.name, tensor.bytes().size()));
    }
    Make(constant.scope, constant.name);
  }

  void CheckScope(int index) {
    const Scope& scope = graph_.scopes[static_cast<std::size_t>(index)];
    for (const ValueInfo& input : scope.inputs) Make(index, input.name);
    for (const Node& node : scope.nodes) {
      for (const std::string& output : node.outputs) Make(index, output);
      for (const auto& [attribute, inner] : node.subgraphs) CheckSubgraph(index, node, inner);
    }
  }

  void CheckSubgraph(int scope, const Node& node, int inner) {
    const bool fits = inner > scope && inner < static_cast<int>(graph_.scopes.size()) &&
                      graph_.scopes[static_cast<std::size_t>(inner)].parent == scope;
    if (!fits || !owned_.insert(inner).second) {
      Throw(fmt::format("{} has the subgraph {}, which is not its own", NodeText(node), inner));
    }
    const int depth = depths_[static_cast<std::size_t>(scope)] + 1;
    if (depth > kMostDepth) Throw(fmt::format("over {} subgraphs inside each other", kMostDepth));
    depths_[static_cast<std::size_t>(inner)] = depth;
  }

  const Graph& graph_;
  std::vector<int> depths_;
  std::set<int> owned_;
  std::set<std::pair<int, std::string_view>> made_;
};

}  // namespace

void CheckGraph(const Graph& graph) { Checker(graph).Check(); }

}  // namespace espalier::runtime
