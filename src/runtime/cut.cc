#include "espalier/runtime/cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/graph/shape_inference.h"
#include "runtime/op.h"

namespace espalier {
namespace {

bool IsMissing(const Node& node) {
  return node.subgraphs.empty() && runtime::FindOp(node) == nullptr;
}

DType DeclaredType(const Scope& scope, const std::string& name) {
  for (const auto* list : {&scope.values, &scope.outputs}) {
    for (const ValueInfo& info : *list) {
      if (info.name == name && info.dtype != DType::kUnknown) return info.dtype;
    }
  }
  return DType::kFloat32;
}

class Cutter {
 public:
  explicit Cutter(const Graph& graph)
      : shapes_(InferShapes(graph)), constants_(graph), cut_{graph, {}, {}} {}

  CutGraph Run() {
    Scope& scope = cut_.graph.scopes[0];
    for (const ValueInfo& input : scope.inputs) fed_.insert(input.name);
    for (const ValueInfo& output : scope.outputs) compared_.insert(output.name);
    for (const Node& node : scope.nodes) {
      if (IsMissing(node)) TakeOut(node);
    }
    std::erase_if(scope.nodes, IsMissing);
    scope.inputs.insert(scope.inputs.end(), new_inputs_.begin(), new_inputs_.end());
    scope.outputs.insert(scope.outputs.end(), new_outputs_.begin(), new_outputs_.end());
    // A value that is fed needs no comparing.
    std::erase_if(scope.outputs,
                  [&](const ValueInfo& output) { return computed_.contains(output.name); });
    return std::move(cut_);
  }

 private:
  void TakeOut(const Node& node) {
    cut_.missing.push_back(NodeText(node));
    for (const std::string& name : node.outputs) {
      if (name.empty()) continue;
      const auto dims = shapes_[0].find(name);
      const bool known = dims != shapes_[0].end() &&
                         std::ranges::all_of(dims->second, [](auto size) { return size >= 0; });
      if (!known) {
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("{} is not supported, and the shape of '{}', which it computes, is "
                                "not known",
                                NodeText(node), name));
      }
      new_inputs_.push_back({name, DeclaredType(cut_.graph.scopes[0], name), dims->second});
      computed_.insert(name);
    }
    for (const std::string& name : node.inputs) {
      if (name.empty() || fed_.contains(name)) continue;
      if (constants_.Find(0, name) >= 0) {
        cut_.read_constants.push_back(name);
      } else if (compared_.insert(name).second) {
        new_outputs_.push_back({name, DeclaredType(cut_.graph.scopes[0], name), std::nullopt});
      }
    }
  }

  ValueShapes shapes_;
  ConstantIndex constants_;
  CutGraph cut_;
  std::set<std::string> fed_, compared_, computed_;
  std::vector<ValueInfo> new_inputs_, new_outputs_;
};

}  // namespace

CutGraph CutAtMissing(const Graph& graph) {
  if (graph.scopes.empty() || std::ranges::none_of(graph.scopes[0].nodes, IsMissing)) {
    return {graph, {}, {}};
  }
  return Cutter(graph).Run();
}

}  // namespace espalier
