#include <gtest/gtest.h>

#include <functional>

#include "tests/graph/coupling_case.h"

namespace espalier {
namespace {

using testing::AddConv;
using testing::Attributes;
using testing::Coupled;
using testing::IntVector;
using testing::LayerGraph;
using testing::Sizes;
using testing::Start;

// A convolution to 8 channels "a.out", what `middle` makes of it, and a convolution from `last`
// channels "m.out".
LayerGraph Between(const std::function<void(LayerGraph&)>& middle, std::int64_t last = 8) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  middle(graph);
  AddConv(graph, "z", "m.out", last, 2);
  graph.Output("z.out");
  return graph;
}

LayerGraph Single(const std::string& op, Attributes attributes = {}, std::int64_t last = 8) {
  return Between([&](LayerGraph& g) { g.Node("m", op, {"a.out"}, attributes); }, last);
}

Sizes CellsOf(LayerGraph graph) { return Coupled(graph.graph()).Cells("z.w", {1}); }
std::string RefusalOf(LayerGraph graph) { return Coupled(graph.graph()).Refusal("z.w", {1}); }

constexpr std::int64_t kOne = 1;

TEST(CouplingRules, UnaryOperatorsKeepChannelsFree) {
  for (const char* op : {"Relu", "Sigmoid", "Identity", "HardSwish", "Erf", "Dropout"}) {
    EXPECT_EQ(CellsOf(Single(op)), Sizes{8}) << op;
  }
  EXPECT_EQ(CellsOf(Single("Softmax", {{"axis", kOne}})), Sizes{8});
  EXPECT_EQ(CellsOf(Single("LpNormalization", {{"axis", kOne}})), Sizes{8});
  EXPECT_EQ(CellsOf(Single("MeanVarianceNormalization")), Sizes{8});
}

TEST(CouplingRules, OperatorsThatLookAtPlacesHoldThem) {
  EXPECT_EQ(RefusalOf(Single("LRN")), "LRN 'm' mixes them with their neighbours");
  EXPECT_EQ(RefusalOf(Single("Trilu")), "Trilu 'm' tells them apart by their position");
  EXPECT_EQ(RefusalOf(Single("Hardmax", {{"axis", kOne}})),
            "Hardmax 'm' tells them apart by their position");
  const auto cumulated = [](std::int64_t axis) {
    return Between([axis](LayerGraph& g) {
      g.Constant("axis", testing::IntScalar(axis)).Node("m", "CumSum", {"a.out", "axis"});
    });
  };
  EXPECT_EQ(RefusalOf(cumulated(1)), "CumSum 'm' adds along them");
  EXPECT_EQ(CellsOf(cumulated(2)), Sizes{8});
  EXPECT_EQ(CellsOf(Single("other:Relu")), Sizes{});
}

TEST(CouplingRules, PlacesOfMaximaHoldChannels) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  graph.Add("MaxPool", {"a.out"}, {"m.out", "places"}, {{"kernel_shape", Dims{2, 2}}});
  AddConv(graph, "z", "m.out", 8, 2);
  graph.Output("z.out");
  EXPECT_EQ(RefusalOf(std::move(graph)), "MaxPool of 'm.out' gives the places of its maxima");
}

TEST(CouplingRules, SlopesAndScalesMoveAlong) {
  LayerGraph graph = Between([](LayerGraph& g) {
    g.Weight("slope", {8, 1, 1}).Node("m", "PRelu", {"a.out", "slope"});
  });
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("z.w", {1}), Sizes{8});
  EXPECT_EQ(found.Channels("slope", {0}), found.Channels("z.w", {1}));
}

TEST(CouplingRules, SqueezeAndExciteFollowsTheGate) {
  LayerGraph graph = Between([](LayerGraph& g) {
    g.Node("p", "GlobalAveragePool", {"a.out"});
    AddConv(g, "down", "p.out", 8, 4);
    AddConv(g, "up", "down.out", 4, 8);
    g.Node("m", "Mul", {"a.out", "up.out"});
  });
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("z.w", {1}), Sizes{8});
  EXPECT_EQ(found.GroupOf("down.w", {1}), found.GroupOf("z.w", {1}));
  EXPECT_EQ(found.GroupOf("up.w", {0}), found.GroupOf("z.w", {1}));
  EXPECT_EQ(found.Cells("up.w", {1}), Sizes{4});
}

TEST(CouplingRules, SplitsAndSlicesMakeCells) {
  const auto split = [](LayerGraph& g) {
    g.Constant("sizes", IntVector({3, 5}));
    g.Add("Split", {"a.out", "sizes"}, {"l", "r"}, {{"axis", kOne}});
    g.Node("m", "Concat", {"r", "l"}, {{"axis", kOne}});
  };
  EXPECT_EQ(CellsOf(Between(split)), (Sizes{3, 5}));
  const auto alone = [](LayerGraph& g) {
    g.Constant("sizes", IntVector({1, 7}));
    g.Add("Split", {"a.out", "sizes"}, {"l", "r"}, {{"axis", kOne}});
    g.Node("m", "Mul", {"r", "l"});
  };
  EXPECT_EQ(CellsOf(Between(alone, 7)), Sizes{7});  // the first one stays
  const auto slice = [](LayerGraph& g) {
    g.Constant("from", IntVector({6})).Constant("to", IntVector({-100}));
    g.Constant("axes", IntVector({1})).Constant("step", IntVector({-2}));
    g.Node("m", "Slice", {"a.out", "from", "to", "axes", "step"});
  };
  LayerGraph graph = Between(slice, 4);
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("a.w", {0}), (Sizes{4, 4}));
  EXPECT_EQ(found.Channels("z.w", {1}), (std::vector<std::uint32_t>{6, 4, 2, 0}));
}

TEST(CouplingRules, GatherTakesKnownPlaces) {
  const auto gather = [](const Tensor& places) {
    return [places](LayerGraph& g) {
      g.Constant("places", places).Node("m", "Gather", {"a.out", "places"}, {{"axis", kOne}});
    };
  };
  LayerGraph graph = Between(gather(IntVector({7, 6, 0, 0})), 4);
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("a.w", {0}), (Sizes{5, 2}));  // 0 is alone
  EXPECT_EQ(found.Channels("z.w", {1}), (std::vector<std::uint32_t>{7, 6, 0, 0}));
}

TEST(CouplingRules, EmbeddingsMoveTheirColumns) {
  LayerGraph graph;
  graph.Input("x", Dims{1, 5}).Weight("table", {100, 8}).Weight("w", {8, 3});
  graph.Node("e", "Gather", {"table", "x"}).Node("y", "MatMul", {"e.out", "w"}).Output("y.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("table", {1}), Sizes{8});
  EXPECT_EQ(found.GroupOf("w", {0}), found.GroupOf("table", {1}));
  EXPECT_EQ(found.GroupOf("table", {0}), -1);
}

TEST(CouplingRules, ShufflesRenameChannels) {
  LayerGraph graph = Between([](LayerGraph& g) {
    g.Constant("cut", IntVector({1, 2, 4, 8, 8})).Constant("join", IntVector({1, -1, 8, 8}));
    g.Node("r", "Reshape", {"a.out", "cut"});
    g.Node("t", "Transpose", {"r.out"}, {{"perm", Dims{0, 2, 1, 3, 4}}});
    g.Node("m", "Reshape", {"t.out", "join"});
  });
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("z.w", {1}), Sizes{8});
  EXPECT_EQ(found.Channels("z.w", {1}), (std::vector<std::uint32_t>{0, 4, 1, 5, 2, 6, 3, 7}));
}

TEST(CouplingRules, PixelShufflesKeepBlocksTogether) {
  const Attributes block = {{"blocksize", std::int64_t{2}}};
  const auto depth_to_space = [&block](const char* mode) {
    Attributes attributes = block;
    attributes["mode"] = std::string(mode);
    LayerGraph graph = Single("DepthToSpace", attributes, 2);
    return Coupled(graph.graph()).Channels("a.w", {0});
  };
  EXPECT_EQ(depth_to_space("DCR"), (std::vector<std::uint32_t>{0, 1, 0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(depth_to_space("CRD"), (std::vector<std::uint32_t>{0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(CellsOf(Single("SpaceToDepth", block, 32)), Sizes{8});
  LayerGraph graph = Between(
      [](LayerGraph& g) {
        g.Constant("cut", IntVector({1, 2, 2, 2, 8, 8}))
            .Constant("join", IntVector({1, 2, 16, 16}));
        g.Node("r", "Reshape", {"a.out", "cut"});
        g.Node("t", "Transpose", {"r.out"}, {{"perm", Dims{0, 1, 4, 2, 5, 3}}});
        g.Node("m", "Reshape", {"t.out", "join"});
      },
      2);
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("z.w", {1}), Sizes{2});
  EXPECT_EQ(found.Channels("a.w", {0}), (std::vector<std::uint32_t>{0, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(CouplingRules, GroupNormalizationOwnsItsGroups) {
  for (const std::int64_t scales : {2, 8}) {
    LayerGraph graph = Between([scales](LayerGraph& g) {
      g.Weight("s", {scales}).Weight("b", {scales});
      g.Node("m", "GroupNormalization", {"a.out", "s", "b"}, {{"num_groups", std::int64_t{2}}});
    });
    const Coupled found(graph.graph());
    EXPECT_EQ(found.Cells("z.w", {1}), (Sizes{4, 4}));
    EXPECT_EQ(found.GroupOf("s", {0}) == found.GroupOf("z.w", {1}), scales == 8);
    const auto& group = found.groups()[static_cast<std::size_t>(found.GroupOf("z.w", {1}))];
    EXPECT_EQ(group.cells[1].owner_channel, 1u);
  }
}

TEST(CouplingRules, PadsAndResizesOfOtherAxesKeepChannelsFree) {
  const auto pad = [](Dims pads) {
    return Between(
        [pads](LayerGraph& g) {
          g.Constant("pads", IntVector(pads)).Node("m", "Pad", {"a.out", "pads"});
        },
        8 + pads[1] + pads[5]);
  };
  EXPECT_EQ(CellsOf(pad({0, 0, 1, 1, 0, 0, 1, 1})), Sizes{8});
  EXPECT_EQ(CellsOf(pad({0, 2, 0, 0, 0, 1, 0, 0})), Sizes{8});  // what is padded stays
  const auto resize = [](std::vector<float> scales, std::int64_t last) {
    return Between(
        [scales](LayerGraph& g) {
          g.Constant("scales", testing::FloatVector(scales));
          g.Node("m", "Resize", {"a.out", "", "scales"});
        },
        last);
  };
  EXPECT_EQ(CellsOf(resize({1, 1, 2, 2}, 8)), Sizes{8});
  EXPECT_EQ(CellsOf(resize({1, 2, 2, 2}, 16)), Sizes{});
}

TEST(CouplingRules, WeightsBehindNodesAreFound) {
  LayerGraph graph = Start();
  AddConv(graph, "a", "x", 3, 8);
  graph.Weight("b.q", {6, 8, 1, 1}, DType::kInt8).Weight("b.s", {6});
  graph.Weight("b.zero", {6}, DType::kInt8);
  graph.Node("b.w", "DequantizeLinear", {"b.q", "b.s", "b.zero"}, {{"axis", std::int64_t{0}}});
  graph.Node("b", "Conv", {"a.out", "b.w.out"});
  graph.Weight("c.t", {6, 4, 1, 1}).Node("c.w", "Transpose", {"c.t"}, {{"perm", Dims{1, 0, 2, 3}}});
  graph.Node("c", "Conv", {"b.out", "c.w.out"}).Output("c.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("b.q", {1}), Sizes{8});
  EXPECT_TRUE(found.Reduced("b.q", {1}));
  EXPECT_EQ(found.Cells("c.t", {0}), Sizes{6});
  EXPECT_TRUE(found.Reduced("c.t", {0}));
  for (const char* name : {"b.s", "b.zero", "b.q"}) {
    EXPECT_EQ(found.GroupOf(name, {0}), found.GroupOf("c.t", {0})) << name;
    EXPECT_FALSE(found.Reduced(name, {0}));
  }
}

TEST(CouplingRules, MatricesOnEitherSide) {
  LayerGraph graph;
  graph.Input("x", Dims{4, 3}).Weight("a", {8, 4}).Weight("b", {8, 5});
  graph.Node("l", "MatMul", {"a", "x"});
  graph.Node("g", "Gemm", {"b", "l.out"}, {{"transA", kOne}}).Output("g.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("a", {0}), Sizes{8});
  EXPECT_EQ(found.GroupOf("b", {0}), found.GroupOf("a", {0}));
  EXPECT_TRUE(found.Reduced("b", {0}));
  EXPECT_FALSE(found.Reduced("a", {0}));
}

TEST(CouplingRules, AnInputThatARulePassesOverHoldsAll) {
  for (const bool sum : {false, true}) {
    LayerGraph graph = Between([sum](LayerGraph& g) {
      std::vector<std::string> inputs = {"a.out", "f.w", "f.b"};
      if (sum) inputs.push_back("a.out");  // FusedConv adds it
      g.Weight("f.w", {8, 8, 1, 1}).Weight("f.b", {8});
      g.Node("m", "com.microsoft:FusedConv", inputs);
    });
    const Coupled found(graph.graph());
    EXPECT_EQ(found.Cells("a.w", {0}), sum ? Sizes{} : Sizes{8});
    EXPECT_EQ(found.Cells("z.w", {1}), sum ? Sizes{} : Sizes{8});
  }
}

TEST(CouplingRules, EinsumIsAProduct) {
  LayerGraph graph;
  graph.Input("x", Dims{1, 5, 4}).Weight("a", {4, 3, 2}).Weight("b", {3, 2, 6});
  graph.Node("l", "Einsum", {"x", "a"}, {{"equation", std::string("bse, ehd -> bhsd")}});
  graph.Node("y", "Einsum", {"l.out", "b"}, {{"equation", std::string("bhsd,hdo->bso")}});
  graph.Output("y.out");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("b", {0}), Sizes{3});
  EXPECT_EQ(found.Cells("b", {1}), Sizes{2});
  EXPECT_EQ(found.GroupOf("a", {1}), found.GroupOf("b", {0}));
  EXPECT_EQ(found.GroupOf("a", {2}), found.GroupOf("b", {1}));
  EXPECT_TRUE(found.Reduced("b", {0}));
}

TEST(CouplingRules, RecurrentInputsMove) {
  LayerGraph graph;
  graph.Input("x", Dims{6, 1, 4}).Weight("w", {4, 8}).Node("l", "MatMul", {"x", "w"});
  graph.Weight("i", {1, 20, 8}).Weight("r", {1, 20, 5});
  graph.Add("LSTM", {"l.out", "i", "r"}, {"y"}, {{"hidden_size", std::int64_t{5}}}).Output("y");
  const Coupled found(graph.graph());
  EXPECT_EQ(found.Cells("i", {2}), Sizes{8});
  EXPECT_TRUE(found.Reduced("i", {2}));
  EXPECT_EQ(found.GroupOf("i", {1}), -1);
}

// Inputs [batch, steps, 12]; 3 heads of 4.
LayerGraph Attention(const Dims& dims) {
  LayerGraph graph;
  graph.Input("x", dims).Constant("cut", IntVector({0, 0, 3, 4}));
  graph.Constant("join", IntVector({0, 0, 12}));
  for (const std::string name : {"q", "k", "v"}) {
    graph.Weight(name + ".w", {12, 12}).Node(name, "MatMul", {"x", name + ".w"});
    graph.Node(name + "r", "Reshape", {name + ".out", "cut"});
    const Dims order = name == "k" ? Dims{0, 2, 3, 1} : Dims{0, 2, 1, 3};
    graph.Node(name + "t", "Transpose", {name + "r.out"}, {{"perm", order}});
  }
  graph.Node("s", "MatMul", {"qt.out", "kt.out"}).Node("p", "Softmax", {"s.out"});
  graph.Node("o", "MatMul", {"p.out", "vt.out"});
  graph.Node("ot", "Transpose", {"o.out"}, {{"perm", Dims{0, 2, 1, 3}}});
  graph.Node("or", "Reshape", {"ot.out", "join"});
  graph.Weight("o.w", {12, 5}).Node("y", "MatMul", {"or.out", "o.w"}).Output("y.out");
  return graph;
}

TEST(CouplingRules, AttentionPermutesInsideItsHeads) {
  for (const Dims& dims : {Dims{1, 5, 12}, Dims{2, 7, 12}, Dims{-1, -1, 12}}) {
    LayerGraph graph = Attention(dims);
    const Coupled found(graph.graph());
    EXPECT_EQ(found.Cells("o.w", {0}), (Sizes{4, 4, 4}));
    EXPECT_EQ(found.GroupOf("v.w", {1}), found.GroupOf("o.w", {0}));
    EXPECT_EQ(found.Cells("q.w", {1}), (Sizes{4, 4, 4}));
    EXPECT_EQ(found.GroupOf("k.w", {1}), found.GroupOf("q.w", {1}));
    EXPECT_NE(found.GroupOf("v.w", {1}), found.GroupOf("q.w", {1}));
    EXPECT_EQ(found.Channels("k.w", {1}), found.Channels("q.w", {1}));
    const auto& values = found.groups()[static_cast<std::size_t>(found.GroupOf("o.w", {0}))];
    const auto& keys = found.groups()[static_cast<std::size_t>(found.GroupOf("q.w", {1}))];
    for (std::uint32_t head = 0; head < 3; ++head) {
      EXPECT_EQ(values.cells[head].owner_group, keys.cells[head].owner_group);
      EXPECT_EQ(values.cells[head].owner_channel, head);
      EXPECT_EQ(keys.cells[head].owner_channel, head);
    }
    const auto& heads = found.groups()[static_cast<std::size_t>(values.cells[0].owner_group)];
    EXPECT_EQ(heads.channels, 3u);
    EXPECT_TRUE(heads.cells.empty());
  }
}

}  // namespace
}  // namespace espalier
