#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "espalier/graph/coupling.h"
#include "tests/graph/layer_case.h"

// What the coupling analysis says, by names of constants.
namespace espalier::testing {

/// The analysis of one graph.
class Coupled {
 public:
  explicit Coupled(const Graph& graph) : graph_(graph), groups_(FindCoupledChannels(graph)) {}

  const std::vector<CouplingGroup>& groups() const { return groups_; }

  struct Place {
    int group = -1;
    const CoupledTensor* tensor = nullptr;
  };
  /// Where a constant's axes are; no tensor if they are in no group.
  Place Find(const std::string& constant, const std::vector<int>& axes) const {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (const CoupledTensor& tensor : groups_[g].tensors) {
        const auto at = static_cast<std::size_t>(tensor.constant);
        if (graph_.constants[at].name == constant && tensor.axes == axes) {
          return {static_cast<int>(g), &tensor};
        }
      }
    }
    return {};
  }
  int GroupOf(const std::string& constant, std::vector<int> axes) const {
    return Find(constant, axes).group;
  }
  bool Reduced(const std::string& constant, const std::vector<int>& axes) const {
    const Place place = Find(constant, axes);
    return place.tensor != nullptr && place.tensor->reduced;
  }
  std::vector<std::uint32_t> Channels(const std::string& constant, std::vector<int> axes) const {
    const Place place = Find(constant, axes);
    return place.tensor == nullptr ? std::vector<std::uint32_t>() : place.tensor->channels;
  }
  /// Sizes of the cells of the group in which the axes are.
  std::vector<std::size_t> Cells(const std::string& constant, std::vector<int> axes) const {
    const int group = GroupOf(constant, std::move(axes));
    std::vector<std::size_t> sizes;
    if (group < 0) return sizes;
    for (const ChannelCell& cell : groups_[static_cast<std::size_t>(group)].cells) {
      sizes.push_back(cell.channels.size());
    }
    return sizes;
  }
  std::string Refusal(const std::string& constant, std::vector<int> axes) const {
    const int group = GroupOf(constant, std::move(axes));
    return group < 0 ? "in no group" : groups_[static_cast<std::size_t>(group)].refusal;
  }

 private:
  const Graph& graph_;
  std::vector<CouplingGroup> groups_;
};

using Sizes = std::vector<std::size_t>;

inline LayerGraph Start(Dims dims = {1, 3, 8, 8}) {
  LayerGraph graph;
  graph.Input("x", std::move(dims));
  return graph;
}

/// A 1x1 convolution `name` of "<name>.w" and "<name>.b".
inline void AddConv(LayerGraph& graph, const std::string& name, const std::string& from,
                    std::int64_t in, std::int64_t out, Attributes attributes = {}) {
  graph.Weight(name + ".w", {out, in, 1, 1}).Weight(name + ".b", {out});
  graph.Node(name, "Conv", {from, name + ".w", name + ".b"}, std::move(attributes));
}

inline void AddNorm(LayerGraph& graph, const std::string& name, const std::string& from,
                    std::int64_t channels) {
  std::vector<std::string> inputs = {from};
  for (const char* part : {".scale", ".bias", ".mean", ".var"}) {
    graph.Weight(name + part, {channels});
    inputs.push_back(name + part);
  }
  graph.Node(name, "BatchNormalization", inputs);
}

/// A bit of everything, for tests that break it.
inline LayerGraph Mixed() {
  LayerGraph graph = Start({-1, 3, 8, 8});
  AddConv(graph, "a", "x", 3, 8);
  AddNorm(graph, "n", "a.out", 8);
  AddConv(graph, "g", "n.out", 4, 8, {{"group", std::int64_t{2}}});
  graph.Weight("d.w", {8, 1, 1, 1});
  graph.Node("d", "Conv", {"g.out", "d.w"}, {{"group", std::int64_t{8}}});
  graph.Node("s", "Add", {"d.out", "a.out"});
  graph.Node("t", "Transpose", {"s.out"}, {{"perm", Dims{0, 2, 3, 1}}});
  graph.Weight("l.w", {8}).Node("l", "LayerNormalization", {"t.out", "l.w", "l.w"});
  graph.Constant("cut", IntVector({0, 64, 2, 4})).Constant("join", IntVector({0, 64, 8}));
  graph.Node("r", "Reshape", {"l.out", "cut"});
  graph.Node("h", "Transpose", {"r.out"}, {{"perm", Dims{0, 2, 1, 3}}});
  graph.Node("k", "Transpose", {"r.out"}, {{"perm", Dims{0, 2, 3, 1}}});
  graph.Node("q", "MatMul", {"h.out", "k.out"}).Node("p", "Softmax", {"q.out"});
  graph.Node("o", "MatMul", {"p.out", "h.out"});
  graph.Node("b", "Transpose", {"o.out"}, {{"perm", Dims{0, 2, 1, 3}}});
  graph.Node("j", "Reshape", {"b.out", "join"});
  graph.Constant("sizes", IntVector({3, 5}));
  graph.Add("Split", {"j.out", "sizes"}, {"l0", "l1"}, {{"axis", std::int64_t{2}}});
  graph.Node("c", "Concat", {"l1", "l0"}, {{"axis", std::int64_t{2}}});
  graph.Constant("axes", IntVector({1})).Node("m", "ReduceMean", {"c.out", "axes"});
  graph.Constant("pick", IntVector({1, 0, 3, 2}));
  graph.Node("e", "Gather", {"m.out", "pick"}, {{"axis", std::int64_t{2}}});
  graph.Node("f", "Flatten", {"e.out"});
  graph.Weight("z.w", {5, 4}).Node("z", "Gemm", {"f.out", "z.w"}, {{"transB", std::int64_t{1}}});
  graph.Output("z.out");
  return graph;
}

}  // namespace espalier::testing
