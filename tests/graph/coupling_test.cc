#include "espalier/graph/coupling.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "tests/graph/coupling_case.h"

namespace espalier {
namespace {

using testing::AddConv;
using testing::AddNorm;
using testing::Coupled;
using testing::IntVector;
using testing::LayerGraph;
using testing::Sizes;
using testing::Start;

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

TEST(Coupling, HoldsWhatIsTiedToAnotherChannel) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 4);
  graph.Constant("order", testing::IntVector({1, 0, 2, 3}));
  graph.Node("g", "Gather", {"a.out", "order"}, {{"axis", std::int64_t{1}}});
  graph.Node("s", "Add", {"a.out", "g.out"});  // ties 0 and 1
  AddConv(graph, "c", "s.out", 4, 2);
  graph.Output("c.out");
  const Coupled found(graph.graph());
  // Channels 0 and 1 are one, twice on each axis; 2 and 3 may be exchanged.
  EXPECT_EQ(found.Cells("c.w", {1}), Sizes{2});
  EXPECT_EQ(found.Channels("c.w", {1}), (std::vector<std::uint32_t>{0, 0, 1, 2}));
}

TEST(Coupling, TellsCopiesInAnotherOrderApart) {
  LayerGraph graph = Start({1, 3, 1, 2});
  AddConv(graph, "a", "x", 3, 4);
  graph.Node("f", "Flatten", {"a.out"}).Constant("order", IntVector({1, 0, 2, 3, 4, 5, 6, 7}));
  graph.Node("g", "Gather", {"f.out", "order"}, {{"axis", std::int64_t{1}}});
  graph.Node("s", "Sub", {"f.out", "g.out"}).Weight("d.w", {8, 5});
  graph.Node("d", "MatMul", {"s.out", "d.w"}).Output("d.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Channels("d.w", {0}), (std::vector<std::uint32_t>{0, 0, 1, 1, 2, 2, 3, 3}));
  // Channel 0 is subtracted from itself with its pixels exchanged, the others as they are.
  EXPECT_EQ(found.Cells("d.w", {0}), Sizes{3});
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

TEST(Coupling, TiesLayersThatShareWeights) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  graph.Weight("w", {8, 8, 1, 1});
  graph.Node("b", "Conv", {"a.out", "w"}).Node("c", "Conv", {"b.out", "w"});
  AddConv(graph, "d", "c.out", 8, 2);
  graph.Output("d.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("a.w", {0}), Sizes{8});
  for (const int axis : {0, 1}) EXPECT_EQ(found.GroupOf("w", {axis}), found.GroupOf("a.w", {0}));
  EXPECT_EQ(found.GroupOf("d.w", {1}), found.GroupOf("a.w", {0}));
}

TEST(Coupling, HoldsWhatSubgraphsRead) {
  for (const std::string captured : {"a.out", "a.b", "none"}) {
    LayerGraph graph = Start();
    AddConv(graph, "a", "x", 3, 8);
    AddConv(graph, "b", "a.out", 8, 4);
    const int branch = graph.AddScope(Scope::Kind::kSubgraph, 0);
    graph.Constant("yes", testing::IntScalar(1)).Node("i", "If", {"yes"});
    graph.Subgraph("then_branch", branch);
    graph.Node("n", "Neg", {captured == "none" ? "x" : captured}, {}, branch);
    graph.Output("n.out", branch).Output("b.out");
    const Coupled found(graph.graph());
    EXPECT_EQ(found.Cells("b.w", {1}), captured == "none" ? Sizes{8} : Sizes{}) << captured;
    if (captured == "none") continue;
    EXPECT_EQ(found.Refusal("b.w", {1}), "a subgraph reads '" + captured + "'");
  }
}

TEST(Coupling, HoldsConstantsThatAreOutputs) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  AddConv(graph, "b", "a.out", 8, 4);
  graph.Output("b.out").Output("a.b");
  EXPECT_EQ(Coupled(graph.graph()).Refusal("b.w", {1}), "they are the output 'a.b'");
}

TEST(Coupling, HoldsNumbersThatAnOperatorReads) {
  LayerGraph graph = Start({1, 4});
  graph.Constant("n", IntVector({1, 0, 3, 2})).Weight("a", {4, 4}).Weight("b", {4, 2});
  graph.Node("m", "MatMul", {"x", "a"}).Node("c", "Cast", {"n"}, {{"to", std::int64_t{1}}});
  graph.Node("s", "Add", {"m.out", "c.out"}).Node("g", "Gather", {"b", "n"});
  graph.Node("y", "MatMul", {"s.out", "g.out"}).Output("y.out");
  EXPECT_EQ(Coupled(graph.graph()).Cells("a", {1}), Sizes{});
}

TEST(Coupling, UnknownBatchesChangeNothing) {
  for (const std::int64_t batch : {-1, 1, 5}) {
    LayerGraph graph = Start({batch, 3, 2, 2});
    AddConv(graph, "a", "x", 3, 4);
    graph.Constant("rest", IntVector({0, -1})).Node("f", "Reshape", {"a.out", "rest"});
    graph.Weight("d.w", {16, 5}).Node("d", "MatMul", {"f.out", "d.w"}).Output("d.out");
    EXPECT_EQ(Coupled(graph.graph()).Cells("d.w", {0}), Sizes{4}) << batch;
  }
}

TEST(Coupling, HoldsAnAxisOfUnknownLength) {
  // Added to an input of unknown width: it may be 1 or 8.
  LayerGraph graph = Start({1, 4});
  graph.Input("y", Dims{1, -1}).Weight("a", {4, 8}).Weight("b", {8, 2});
  graph.Node("m", "MatMul", {"x", "a"}).Node("s", "Add", {"m.out", "y"});
  graph.Node("z", "MatMul", {"s.out", "b"}).Output("z.out");
  EXPECT_EQ(Coupled(graph.graph()).Cells("a", {1}), Sizes{});
}

TEST(Coupling, OtherOpsetsAreUnknown) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  AddConv(graph, "b", "a.out", 8, 4);
  graph.Output("b.out");
  for (const std::int64_t opset : {6, 7, 24, 25}) {
    graph.graph().opsets[""] = opset;
    const bool known = opset >= 7 && opset <= 24;
    EXPECT_EQ(Coupled(graph.graph()).Cells("b.w", {1}), known ? Sizes{8} : Sizes{}) << opset;
  }
}

// What must hold of any result.
void CheckResult(const Graph& graph) {
  const auto groups = FindCoupledChannels(graph);
  std::set<std::pair<int, std::vector<int>>> seen;
  for (const CouplingGroup& group : groups) {
    std::vector<int> cells(group.channels, 0);
    for (const ChannelCell& cell : group.cells) {
      EXPECT_GE(cell.channels.size(), 2u);
      EXPECT_TRUE(std::ranges::is_sorted(cell.channels));
      for (const std::uint32_t channel : cell.channels) ++cells.at(channel);
      if (cell.owner_group < 0) continue;
      EXPECT_LT(cell.owner_channel, groups.at(static_cast<std::size_t>(cell.owner_group)).channels);
    }
    for (const int count : cells) EXPECT_LE(count, 1);
    // Without channels: the graph as a whole is not understood.
    const bool all = group.channels > 0 && std::ranges::count(cells, 0) == 0;
    EXPECT_EQ(group.refusal.empty(), all);
    for (const CoupledTensor& tensor : group.tensors) {
      const Tensor& stored = graph.constants.at(static_cast<std::size_t>(tensor.constant)).tensor;
      std::size_t places = 1;
      for (const int axis : tensor.axes) {
        places *= static_cast<std::size_t>(stored.dims().at(static_cast<std::size_t>(axis)));
      }
      EXPECT_EQ(tensor.channels.size(), places);
      EXPECT_TRUE(seen.emplace(tensor.constant, tensor.axes).second);  // in one group only
      std::vector<int> copies(group.channels, 0);
      for (const std::uint32_t channel : tensor.channels) ++copies.at(channel);
      // Channels that change places have as many copies.
      for (const ChannelCell& cell : group.cells) {
        for (const std::uint32_t c : cell.channels) EXPECT_EQ(copies[c], copies[cell.channels[0]]);
      }
    }
  }
}

TEST(Coupling, StaysSoundOnBrokenGraphs) {
  const std::uint64_t seed = 11;
  std::uint64_t draws = 0;
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(fmt::format("seed {} round {}", seed, round));
    LayerGraph builder = testing::Mixed();
    Graph& graph = builder.graph();
    auto& nodes = graph.scopes[0].nodes;
    for (std::int64_t left = testing::Draw(seed, &draws, 3); left >= 0; --left) {
      Node& node = nodes[static_cast<std::size_t>(
          testing::Draw(seed, &draws, static_cast<std::int64_t>(nodes.size()) - 1))];
      Node& other = nodes[static_cast<std::size_t>(
          testing::Draw(seed, &draws, static_cast<std::int64_t>(nodes.size()) - 1))];
      switch (testing::Draw(seed, &draws, 6)) {
        case 0:
          node.op_type = other.op_type;
          break;
        case 1:
          node.inputs = other.inputs;
          break;
        case 2:
          node.attributes = other.attributes;
          break;
        case 3:
          node.inputs.resize(static_cast<std::size_t>(testing::Draw(seed, &draws, 4)));
          break;
        case 4:
          node.attributes["axis"] = testing::Draw(seed, &draws, 6) - 3;
          break;
        case 5:
          node.attributes["group"] = testing::Draw(seed, &draws, 9);
          break;
        default:
          node.outputs.push_back(other.outputs.front() + "2");
          break;
      }
    }
    CheckResult(graph);
  }
}

TEST(Coupling, KeepsMemoryOfHugeShapesSmall) {
  const std::int64_t huge = std::int64_t{1} << 39;
  LayerGraph graph;
  graph.Input("x", Dims{1, huge}).Constant("w", Tensor::WithoutBytes(DType::kString, {huge, 4}));
  graph.Node("y", "MatMul", {"x", "w"}).Output("y.out");
  const auto groups = FindCoupledChannels(graph.graph());
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].channels, 0u);
  EXPECT_EQ(groups[0].refusal, "the network has too many channels to follow");
  EXPECT_TRUE(FindCoupledChannels(Graph()).empty());
}

TEST(Coupling, NodesOutOfOrderAreNamedAsTheReason) {
  LayerGraph graph;
  graph.Input("x", Dims{1, 4}).Weight("b.w", {8, 4}).Weight("a.w", {4, 8});
  graph.Node("b", "MatMul", {"a.out", "b.w"}).Node("a", "MatMul", {"x", "a.w"}).Output("b.out");
  const auto groups = FindCoupledChannels(graph.graph());
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].channels, 0u);
  EXPECT_TRUE(groups[0].tensors.empty());
  EXPECT_NE(groups[0].refusal.find("not in order"), std::string::npos);
}

// The file may say anything of values between the nodes; here the shape comes from outside.
TEST(Coupling, DeclaredShapesOfInnerValuesAreNotBelieved) {
  LayerGraph graph;
  graph.Input("x", Dims{4, 8}).Input("shape", Dims{2});
  graph.Weight("a.w", {8, 32}).Weight("b.w", {32, 4});
  graph.Node("a", "MatMul", {"x", "a.w"}).Node("r", "Reshape", {"a.out", "shape"});
  graph.Node("b", "MatMul", {"r.out", "b.w"}).Output("b.out");
  Graph built = graph.graph();
  built.scopes[0].values.push_back({"r.out", DType::kFloat32, Dims{4, 32}});
  for (const CouplingGroup& group : FindCoupledChannels(built)) EXPECT_TRUE(group.cells.empty());
}

}  // namespace
}  // namespace espalier
