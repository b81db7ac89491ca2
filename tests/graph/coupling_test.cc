#include "espalier/graph/coupling.h"

#include <gtest/gtest.h>

#include "tests/graph/coupling_case.h"

namespace espalier {
namespace {

using testing::Coupled;
using testing::LayerGraph;
using testing::Sizes;

LayerGraph Start(Dims dims = {1, 3, 8, 8}) {
  LayerGraph graph;
  graph.Input("x", std::move(dims));
  return graph;
}

// conv "a" from `from` to `out` channels.
void AddConv(LayerGraph& graph, const std::string& name, const std::string& from, std::int64_t in,
             std::int64_t out, testing::Attributes attributes = {}) {
  graph.Weight(name + ".w", {out, in, 1, 1}).Weight(name + ".b", {out});
  graph.Node(name, "Conv", {from, name + ".w", name + ".b"}, std::move(attributes));
}

void AddNorm(LayerGraph& graph, const std::string& name, const std::string& from,
             std::int64_t channels) {
  std::vector<std::string> inputs = {from};
  for (const char* part : {".scale", ".bias", ".mean", ".var"}) {
    graph.Weight(name + part, {channels});
    inputs.push_back(name + part);
  }
  graph.Node(name, "BatchNormalization", inputs);
}

TEST(Coupling, FollowsAChain) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  AddNorm(graph, "n", "a.out", 8);
  graph.Node("r", "Relu", {"n.out"})
      .Node("p", "MaxPool", {"r.out"}, {{"kernel_shape", Dims{2, 2}}});
  AddConv(graph, "b", "p.out", 8, 4);
  graph.Output("b.out");
  const Coupled found(graph.graph());
  ASSERT_EQ(found.groups().size(), 2u);
  EXPECT_EQ(found.Cells("a.w", {0}), Sizes{8});
  EXPECT_EQ(found.groups()[1].channels, 8u);
  EXPECT_EQ(found.groups()[1].refusal, "");
  for (const char* name : {"a.b", "n.scale", "n.bias", "n.mean", "n.var"}) {
    EXPECT_EQ(found.GroupOf(name, {0}), 1) << name;
    EXPECT_FALSE(found.Reduced(name, {0}));
  }
  EXPECT_EQ(found.groups()[1].tensors.size(), 7u);
  EXPECT_TRUE(found.Reduced("b.w", {1}));
  EXPECT_FALSE(found.Reduced("a.w", {0}));
  EXPECT_EQ(found.Channels("b.w", {1}), found.Channels("a.w", {0}));
  EXPECT_EQ(found.GroupOf("a.w", {1}), 0);
  EXPECT_EQ(found.Refusal("a.w", {1}), "they are the input 'x'");
  EXPECT_EQ(found.GroupOf("b.w", {0}), -1);  // nothing sums over the output
}

TEST(Coupling, TiesResiduals) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  AddConv(graph, "b", "a.out", 8, 8);
  graph.Node("s", "Add", {"a.out", "b.out"});
  AddConv(graph, "c", "s.out", 8, 2);
  graph.Output("c.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("a.w", {0}), Sizes{8});
  EXPECT_EQ(found.GroupOf("b.w", {0}), found.GroupOf("b.w", {1}));
  EXPECT_EQ(found.GroupOf("c.w", {1}), found.GroupOf("a.w", {0}));
  EXPECT_EQ(found.Channels("b.w", {0}), found.Channels("a.w", {0}));
}

TEST(Coupling, KeepsPartsOfAConcatApart) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 4);
  AddConv(graph, "b", "x", 3, 6);
  graph.Node("j", "Concat", {"a.out", "b.out"}, {{"axis", std::int64_t{1}}});
  AddConv(graph, "c", "j.out", 10, 2);
  graph.Output("c.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("c.w", {1}), (Sizes{4, 6}));
  EXPECT_EQ(found.GroupOf("a.w", {0}), found.GroupOf("b.w", {0}));
}

TEST(Coupling, KeepsCopiesTogether) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 4);
  graph.Node("r", "Relu", {"a.out"});
  graph.Node("j", "Concat", {"a.out", "r.out"}, {{"axis", std::int64_t{1}}});
  AddConv(graph, "c", "j.out", 8, 2);
  graph.Output("c.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("c.w", {1}), Sizes{4});
  EXPECT_EQ(found.Channels("c.w", {1}), (std::vector<std::uint32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST(Coupling, RefusesCopiesInAnotherOrder) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 4);
  graph.Constant("order", testing::IntVector({1, 0, 2, 3}));
  graph.Node("g", "Gather", {"a.out", "order"}, {{"axis", std::int64_t{1}}});
  graph.Node("s", "Add", {"a.out", "g.out"});  // ties 0 and 1
  graph.Constant("part", testing::IntVector({0, 1, 3, 2}));
  AddConv(graph, "c", "s.out", 4, 2);
  graph.Output("c.out");
  const Coupled found(graph.graph());
  // Channel {0, 1} is twice on each axis; 2 and 3 may be exchanged.
  EXPECT_EQ(found.Cells("c.w", {1}), Sizes{2});
  EXPECT_EQ(found.Channels("c.w", {1}), (std::vector<std::uint32_t>{0, 0, 1, 2}));
}

TEST(Coupling, HoldsWhatIsAnOutputOrUnknown) {
  for (const bool output : {false, true}) {
    LayerGraph graph = Start();
    AddConv(graph, "a", "x", 3, 8);
    AddConv(graph, "b", "a.out", 8, 4);
    graph.Output("b.out");
    if (output) graph.Output("a.out");
    if (!output) graph.Node("u", "some.domain:Strange", {"a.out"});
    const Coupled found(graph.graph());
    EXPECT_EQ(found.Cells("b.w", {1}), Sizes{});
    EXPECT_EQ(found.Refusal("b.w", {1}),
              output ? "they are the output 'a.out'" : "Espalier does not know Strange");
  }
}

TEST(Coupling, RepeatsChannelsBehindFlatten) {
  LayerGraph graph = Start({1, 3, 2, 2});
  AddConv(graph, "a", "x", 3, 4);
  graph.Node("f", "Flatten", {"a.out"});
  graph.Weight("d.w", {5, 16}).Node("d", "Gemm", {"f.out", "d.w"}, {{"transB", std::int64_t{1}}});
  graph.Output("d.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("d.w", {1}), Sizes{4});
  EXPECT_EQ(found.Channels("d.w", {1}),
            (std::vector<std::uint32_t>{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}));
}

TEST(Coupling, TiesDepthwiseConvolutions) {
  for (const std::int64_t multiplier : {1, 2}) {
    LayerGraph graph = Start();
    AddConv(graph, "a", "x", 3, 8);
    AddConv(graph, "b", "a.out", 1, 8 * multiplier, {{"group", std::int64_t{8}}});
    AddConv(graph, "c", "b.out", 8 * multiplier, 4);
    graph.Output("c.out");
    const Coupled found(graph.graph());
    EXPECT_EQ(found.Cells("a.w", {0}), Sizes{8});
    EXPECT_EQ(found.GroupOf("b.w", {0}), found.GroupOf("a.w", {0}));
    EXPECT_FALSE(found.Reduced("b.w", {0}));
    EXPECT_EQ(found.Channels("c.w", {1}), found.Channels("b.w", {0}));
    EXPECT_EQ(found.Channels("c.w", {1}).back(), 7u);
  }
}

TEST(Coupling, KeepsGroupsOfAConvolutionApart) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  AddConv(graph, "b", "a.out", 4, 6, {{"group", std::int64_t{2}}});
  AddConv(graph, "c", "b.out", 6, 4);
  graph.Output("c.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("a.w", {0}), (Sizes{4, 4}));
  EXPECT_EQ(found.Cells("c.w", {1}), (Sizes{3, 3}));
  EXPECT_TRUE(found.Reduced("b.w", {0, 1}));
  EXPECT_EQ(found.Channels("b.w", {0, 1}),
            (std::vector<std::uint32_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,  //
                                        4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7}));
  EXPECT_EQ(found.GroupOf("b.w", {0}), found.GroupOf("c.w", {1}));
  const auto& group = found.groups()[static_cast<std::size_t>(found.GroupOf("a.w", {0}))];
  ASSERT_GE(group.cells[0].owner_group, 0);
  EXPECT_EQ(group.cells[0].owner_group, group.cells[1].owner_group);
  EXPECT_EQ(group.cells[0].owner_channel, 0u);
  EXPECT_EQ(group.cells[1].owner_channel, 1u);
  const auto& owners = found.groups()[static_cast<std::size_t>(group.cells[0].owner_group)];
  EXPECT_EQ(owners.channels, 2u);
  EXPECT_TRUE(owners.tensors.empty());
}

}  // namespace
}  // namespace espalier
