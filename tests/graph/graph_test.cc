#include "espalier/graph/graph.h"

#include <gtest/gtest.h>

namespace espalier {
namespace {

Node MakeNode(std::string op, std::vector<std::string> outputs) {
  Node node;
  node.op_type = std::move(op);
  node.outputs = std::move(outputs);
  return node;
}

// Main graph (0) with a branch (1) that has a branch (2), and a function (3).
Graph FourScopes() {
  Graph graph;
  graph.scopes.resize(4);
  graph.scopes[1] = {Scope::Kind::kSubgraph, 0, "then", {}, {}, {}, {}};
  graph.scopes[2] = {Scope::Kind::kSubgraph, 1, "inner", {}, {}, {}, {}};
  graph.scopes[3] = {Scope::Kind::kFunction, -1, "my.F", {}, {}, {}, {}};
  graph.constants.push_back({"w", 0, {}});
  graph.constants.push_back({"v", 1, {}});
  graph.constants.push_back({"w", 2, {}});
  return graph;
}

TEST(ConstantIndex, SeesOwnNamesThenThoseOfEnclosingScopes) {
  const Graph graph = FourScopes();
  const ConstantIndex index(graph);
  EXPECT_EQ(index.Find(0, "w"), 0);
  EXPECT_EQ(index.Find(1, "w"), 0);
  EXPECT_EQ(index.Find(2, "w"), 2);
  EXPECT_EQ(index.Find(2, "v"), 1);
}

TEST(ConstantIndex, DoesNotLookIntoSubgraphsOrOutOfFunctions) {
  const Graph graph = FourScopes();
  const ConstantIndex index(graph);
  EXPECT_EQ(index.Find(0, "v"), -1);
  EXPECT_EQ(index.Find(3, "w"), -1);
}

TEST(ConstantIndex, NodeOutputsAndInputsHideOuterConstants) {
  Graph graph = FourScopes();
  graph.scopes[1].nodes.push_back(MakeNode("Relu", {"w"}));
  graph.scopes[2].inputs.push_back({"v", DType::kFloat32, std::nullopt});
  const ConstantIndex index(graph);
  EXPECT_EQ(index.Find(1, "w"), -1);
  EXPECT_EQ(index.Find(2, "v"), -1);
  EXPECT_EQ(index.Find(0, "w"), 0);
}

TEST(ConstantIndex, AnInitializerListedAsInputIsAConstant) {
  Graph graph = FourScopes();
  graph.scopes[0].inputs.push_back({"w", DType::kFloat32, std::nullopt});
  EXPECT_EQ(ConstantIndex(graph).Find(0, "w"), 0);
}

TEST(ConstantIndex, SurvivesHandMadeGraphsWithBadScopes) {
  Graph graph = FourScopes();
  graph.scopes[0].parent = 2;  // a circle: 0 -> 2 -> 1 -> 0
  graph.constants.push_back({"x", 9, {}});
  const ConstantIndex index(graph);
  EXPECT_EQ(index.Find(0, "nothing"), -1);
  EXPECT_EQ(index.Find(7, "w"), -1);
  EXPECT_EQ(index.Find(-1, "w"), -1);
  EXPECT_EQ(index.Find(0, "x"), -1);
  EXPECT_EQ(index.Find(0, ""), -1);
}

TEST(Attributes, GiveValueFallbackOrNothing) {
  Node node = MakeNode("Conv", {"y"});
  node.attributes["group"] = std::int64_t{4};
  node.attributes["pads"] = std::vector<std::int64_t>{1, 2};
  node.attributes["from_caller"] = std::monostate{};
  EXPECT_EQ(IntAttribute(node, "group", 1), 4);
  EXPECT_EQ(IntAttribute(node, "absent", 7), 7);
  EXPECT_EQ(IntAttribute(node, "pads", 1), std::nullopt);
  EXPECT_EQ(IntAttribute(node, "from_caller", 1), std::nullopt);
  EXPECT_EQ(IntsAttribute(node, "pads", {}), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(IntsAttribute(node, "absent", {3}), (std::vector<std::int64_t>{3}));
  EXPECT_EQ(IntsAttribute(node, "group", {3}), std::nullopt);
}

TEST(NodeText, NamesTheNodeOrItsFirstOutput) {
  Node node = MakeNode("Conv", {"", "y"});
  EXPECT_EQ(NodeText(node), "Conv of 'y'");
  node.name = "conv1";
  EXPECT_EQ(NodeText(node), "Conv 'conv1'");
  EXPECT_EQ(NodeText(MakeNode("Conv", {})), "Conv without a name");
}

TEST(NodeText, ShowsControlCharactersAsNumbers) {
  Node node = MakeNode("Conv", {});
  node.name = "a\x1B[2Jb\n";
  EXPECT_EQ(NodeText(node), "Conv 'a\\x1b[2Jb\\x0a'");
}

}  // namespace
}  // namespace espalier
