#include "espalier/permute/permute_graph.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "espalier/graph/coupling.h"
#include "espalier/permute/tensor_order.h"
#include "espalier/runtime/compare.h"
#include "espalier/runtime/session.h"
#include "gtest/gtest.h"
#include "permute/group_orders.h"
#include "tests/graph/graph_builder.h"
#include "tests/permute/zoo.h"

namespace espalier {
namespace {

using testing::MakeZoo;
using testing::TensorOf;
using testing::ZooGraph;

// Sums of a few hundred floats in another order.
constexpr double kRounding = 1e-5;

std::map<std::string, Tensor> Run(const Graph& graph) {
  Session session(graph, {.tune = false});
  return session.Run(RandomInputs(session, 3));
}

// The greatest difference of any output, relative to its largest value.
double Difference(const Graph& before, const Graph& after) {
  const auto first = Run(before);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : first) names.push_back(name);
  double worst = 0;
  for (const OutputDifference& difference : CompareOutputs(first, Run(after), names, names)) {
    worst = std::max(worst, difference.Relative());
  }
  return worst;
}

// Every cell of every group in a random order.
std::vector<TensorOrder> RandomOrders(const Graph& graph, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TensorOrder> all;
  for (const CouplingGroup& group : FindCoupledChannels(graph)) {
    std::vector<std::uint32_t> takes(group.channels);
    std::iota(takes.begin(), takes.end(), 0u);
    for (const ChannelCell& cell : group.cells) {
      std::vector<std::uint32_t> shuffled = cell.channels;
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      for (std::size_t i = 0; i < shuffled.size(); ++i) takes[cell.channels[i]] = shuffled[i];
    }
    for (TensorOrder& order : internal::OrdersOf(graph, group, takes)) {
      all.push_back(std::move(order));
    }
  }
  return all;
}

std::string ReasonsOf(const std::vector<CouplingGroup>& groups) {
  std::string text;
  for (const CouplingGroup& group : groups) text += group.refusal + "\n";
  return text;
}

TEST(PermuteZoo, ChannelsInAnyOrderComputeTheSame) {
  for (const ZooGraph& zoo : MakeZoo()) {
    SCOPED_TRACE(zoo.name);
    for (const unsigned seed : {1u, 2u}) {
      Graph graph = zoo.graph;
      const std::vector<TensorOrder> orders = RandomOrders(graph, seed);
      EXPECT_EQ(!orders.empty(), zoo.moves);
      ApplyOrders(graph, orders);
      EXPECT_LE(Difference(zoo.graph, graph), kRounding);
    }
    EXPECT_NE(ReasonsOf(FindCoupledChannels(zoo.graph)).find(zoo.reason), std::string::npos)
        << ReasonsOf(FindCoupledChannels(zoo.graph));
  }
}

// A wrong index in any one order must show, or the test above proves nothing.
TEST(PermuteZoo, OneWrongIndexShows) {
  std::size_t graphs = 0;
  for (const ZooGraph& zoo : MakeZoo()) {
    std::vector<TensorOrder> orders = RandomOrders(zoo.graph, 1);
    if (orders.empty()) continue;
    SCOPED_TRACE(zoo.name);
    TensorOrder& order = orders[orders.size() / 2];
    std::swap(order.from.front(), order.from.back());
    Graph graph = zoo.graph;
    ApplyOrders(graph, orders);
    EXPECT_GT(Difference(zoo.graph, graph), 4 * kRounding) << order.constant;
    ++graphs;
  }
  EXPECT_GT(graphs, 100u);
}

bool SameBytes(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.bytes(), b.bytes());
}

TEST(PermuteZoo, SearchKeepsMoreAndUndoRestoresEveryByte) {
  std::size_t gained = 0;
  for (const ZooGraph& zoo : MakeZoo()) {
    SCOPED_TRACE(zoo.name);
    Graph graph = zoo.graph;
    PermuteGraphOptions options;
    options.search.rounds = 40;
    const PermuteReport report = PermuteGraph(graph, options);
    for (const PermutedGroup& group : report.groups) {
      EXPECT_EQ(group.applied, group.kept_after > group.kept_before);
      EXPECT_TRUE(group.applied || !group.reason.empty());
      gained += group.applied ? 1 : 0;
    }
    EXPECT_LE(Difference(zoo.graph, graph), kRounding);
    if (report.tensors == 0) continue;
    PermuteGraph(graph, options);  // twice: two notes
    EXPECT_GT(UndoPermutations(graph), 0u);
    EXPECT_TRUE(graph.metadata.empty());
    for (std::size_t i = 0; i < graph.constants.size(); ++i) {
      EXPECT_TRUE(SameBytes(graph.constants[i].tensor, zoo.graph.constants[i].tensor))
          << graph.constants[i].name;
    }
  }
  EXPECT_GT(gained, 100u);
}

TEST(PermuteGraph, IsTheSameForAnyNumberOfThreads) {
  for (const ZooGraph& zoo : MakeZoo()) {
    PermuteGraphOptions options;
    options.search.rounds = 20;
    Graph one = zoo.graph;
    PermuteGraph(one, options);
    options.search.threads = 3;
    Graph three = zoo.graph;
    PermuteGraph(three, options);
    EXPECT_EQ(one.metadata, three.metadata) << zoo.name;
  }
}

// A caller may feed another tensor than the file's: then its order is the caller's concern.
TEST(PermuteGraph, WarnsOfConstantsThatAreInputs) {
  const ZooGraph zoo = MakeZoo()[0];
  for (const std::int64_t version : {3, 4}) {
    Graph graph = zoo.graph;
    graph.ir_version = version;
    for (const Constant& constant : zoo.graph.constants) {
      graph.scopes[0].inputs.push_back(
          {constant.name, constant.tensor.dtype(), constant.tensor.dims()});
    }
    PermuteGraphOptions options;
    options.search.rounds = 20;
    const PermuteReport report = PermuteGraph(graph, options);
    EXPECT_GT(report.tensors, 0u);
    EXPECT_EQ(report.warnings.size(), version >= 4 ? 1u : 0u);
  }
}

TEST(PermuteGraph, ATensorThatCannotMoveStopsItsGroupAlone) {
  Graph graph = MakeZoo()[0].graph;
  const PermuteReport before = PermuteGraph(graph, {});
  ASSERT_GT(before.tensors, 0u);
  graph = MakeZoo()[0].graph;
  for (Constant& constant : graph.constants) constant.name += "\xFF";
  for (Node& node : graph.scopes[0].nodes) {
    for (std::string& input : node.inputs) {
      if (input.starts_with("const")) input += "\xFF";
    }
  }
  const PermuteReport report = PermuteGraph(graph, {});
  EXPECT_EQ(report.tensors, 0u);
  EXPECT_TRUE(std::ranges::any_of(report.groups, [](const PermutedGroup& group) {
    return group.reason == "a constant's name is not UTF-8 text";
  }));
}

TEST(PermuteGraph, ANoteThatCannotBeReadStopsAll) {
  Graph graph = MakeZoo()[0].graph;
  graph.metadata[std::string(kPermutationNote)] = "[]";
  EXPECT_THROW(PermuteGraph(graph, {}), Error);
}

TEST(PermuteGraph, RefusesWhatIsNoPattern) {
  Graph graph = MakeZoo()[0].graph;
  PermuteGraphOptions options;
  for (const NmGroup nm : {NmGroup{4, 4}, NmGroup{0, 4}, NmGroup{-1, 4}}) {
    options.nm = nm;
    EXPECT_THROW(PermuteGraph(graph, options), Error);
  }
}

}  // namespace
}  // namespace espalier
