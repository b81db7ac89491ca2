#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>

#include "graph/shape_rules.h"
#include "tests/graph/graph_builder.h"

namespace espalier::testing {
namespace {

// All operators of the table and those that hold subgraphs.
std::vector<std::string> AllOperators() {
  std::vector<std::string> ops = {"If", "Loop", "Scan", "Unheard"};
  for (const auto part : {shapes::ConvRules(), shapes::MatrixRules(), shapes::ElementwiseRules(),
                          shapes::LayoutRules(), shapes::IndexRules(), shapes::ReduceRules()}) {
    for (const shapes::RuleEntry& entry : part) {
      const std::string op(entry.op_type);
      ops.push_back(entry.domain.empty() ? op : std::string(entry.domain) + ":" + op);
    }
  }
  return ops;
}

const std::vector<std::string> kAttributes = {"allowzero",
                                              "auto_pad",
                                              "axes",
                                              "axis",
                                              "batch_dims",
                                              "blocksize",
                                              "broadcast",
                                              "ceil_mode",
                                              "dilations",
                                              "direction",
                                              "directions",
                                              "end",
                                              "ends",
                                              "fmod",
                                              "group",
                                              "hidden_size",
                                              "k",
                                              "keep_aspect_ratio_policy",
                                              "keepdims",
                                              "kernel_shape",
                                              "layout",
                                              "noop_with_empty_axes",
                                              "num_outputs",
                                              "num_scan_inputs",
                                              "output_padding",
                                              "output_shape",
                                              "pads",
                                              "perm",
                                              "qkv_hidden_sizes",
                                              "scales",
                                              "scan_input_axes",
                                              "scan_output_axes",
                                              "shape",
                                              "split",
                                              "start",
                                              "starts",
                                              "strides",
                                              "to",
                                              "transA",
                                              "transB",
                                              "value"};

// Graphs of random operators with random inputs and attributes, mostly nonsense.
class RandomGraph {
 public:
  explicit RandomGraph(std::uint32_t seed) : random_(seed) {}

  Graph Make(const std::vector<std::string>& ops) {
    GraphBuilder builder;
    const int scopes = Below(4);
    for (int i = 0; i < scopes; ++i) {
      builder.AddScope(Below(4) == 0 ? Scope::Kind::kFunction : Scope::Kind::kSubgraph,
                       Below(scopes + 2) - 1);
    }
    for (int scope = 0; scope <= scopes; ++scope) Fill(ops, scopes, scope, &builder);
    return std::move(builder.graph());
  }

 private:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  std::int64_t Number() {
    static const Dims kSpecial = {INT64_MIN,
                                  INT64_MIN + 1,
                                  INT64_MAX,
                                  std::int64_t{1} << 40,
                                  std::int64_t{1} << 62,
                                  -1,
                                  0,
                                  1,
                                  4096,
                                  shapes::kUnknownInt};
    const bool special = Below(5) == 0;
    return special ? kSpecial[static_cast<std::size_t>(Below(10))] : Below(9) - 2;
  }

  Dims Numbers(int most) {
    Dims numbers;
    for (int n = Below(20) == 0 ? 70 : Below(most); n > 0; --n) numbers.push_back(Number());
    return numbers;
  }

  Tensor Constant() {
    Dims dims;
    for (int n = Below(4); n > 0; --n) dims.push_back(Below(4));
    const auto count = static_cast<std::size_t>(ElementCount(dims));
    switch (Below(6)) {
      case 0:
        return TensorOf(DType::kFloat32, dims, std::vector<float>(count, 1.5f));
      case 1:
        return TensorOf(DType::kBool, dims, std::vector<std::uint8_t>(count, 1));
      case 2:
        return Tensor::WithoutBytes(DType::kString, {std::int64_t{1} << 45, 3});
      case 3:
        return Tensor();
      default:
        Dims values;
        for (std::size_t i = 0; i < count; ++i) values.push_back(Number());
        return Below(2) == 0 ? IntVector(values) : TensorOf(DType::kInt64, dims, values);
    }
  }

  Attribute AnyAttribute() {
    static const std::vector<std::string> kTexts = {"SAME_UPPER", "VALID", "bidirectional", ""};
    switch (Below(9)) {
      case 0:
        return std::monostate();
      case 1:
        return 0.5f;
      case 2:
        return kTexts[static_cast<std::size_t>(Below(4))];
      case 3:
        return std::vector<float>(static_cast<std::size_t>(Below(5)), -1e30f);
      case 4:
        return Constant();
      case 5:
      case 6:
        return Number();
      default:
        return Numbers(6);
    }
  }

  void Fill(const std::vector<std::string>& ops, int scopes, int scope, GraphBuilder* builder) {
    std::vector<std::string> names = {"", "nowhere"};
    for (int i = 0; i < 4; ++i) {
      names.push_back(fmt::format("x{}", i));
      builder->Input(names.back(), Below(5) == 0 ? std::optional<Dims>() : Numbers(5), scope);
      names.push_back(fmt::format("c{}", i));
      builder->Constant(names.back(), Constant(), Below(30) == 0 ? -7 : scope);
    }
    for (int i = 0; i < 25; ++i) {
      std::vector<std::string> inputs, outputs;
      for (int n = Below(6); n > 0; --n) inputs.push_back(AnyOf(names));
      for (int n = Below(4); n > 0; --n) {
        outputs.push_back(fmt::format("y{}", Below(60)));
        if (Below(10) == 0) builder->Declare(outputs.back(), Numbers(5), scope);
      }
      Attributes attributes;
      for (int n = Below(5); n > 0; --n) attributes[AnyOf(kAttributes)] = AnyAttribute();
      builder->Add(AnyOf(ops), inputs, outputs, attributes, scope);
      for (const char* name : {"then_branch", "else_branch", "body"}) {
        if (Below(4) == 0) builder->Subgraph(name, Below(scopes + 3) - 1, scope);
      }
      names.insert(names.end(), outputs.begin(), outputs.end());
    }
    for (int i = 0; i < 3; ++i) builder->Output(AnyOf(names), scope);
  }

  const std::string& AnyOf(const std::vector<std::string>& list) {
    return list[static_cast<std::size_t>(Below(static_cast<int>(list.size())))];
  }

  std::mt19937 random_;
};

// Property: whatever the graph, no exception, and dimensions stay in their range.
TEST(ShapeRobustness, NonsenseGraphsGiveOnlyUnknownOrSaneShapes) {
  const std::vector<std::string> ops = AllOperators();
  std::size_t known = 0;
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const Graph graph = RandomGraph(seed).Make(ops);
    ValueShapes shapes;
    ASSERT_NO_THROW(shapes = InferShapes(graph));
    ASSERT_EQ(shapes.size(), graph.scopes.size());
    for (const auto& scope : shapes) {
      for (const auto& [name, dims] : scope) {
        ASSERT_LE(dims.size(), 64u) << name;
        for (const std::int64_t dim : dims) {
          ASSERT_GE(dim, -1) << name;
          ASSERT_LE(dim, std::int64_t{1} << 40) << name;
        }
        if (name.starts_with("y")) ++known;
      }
    }
  }
  EXPECT_GT(known, 15'000u);  // the graphs must get past the first checks to prove anything
}

// A chain that doubles a tensor's size in every step must end at the limit, not at 2^60 elements.
TEST(ShapeRobustness, RepeatedConcatDoesNotGrowWithoutBound) {
  GraphBuilder builder;
  builder.Constant("y0", IntVector({1, 2}));
  for (int i = 0; i < 60; ++i) {
    const std::string from = fmt::format("y{}", i);
    builder.Add("Concat", {from, from}, {fmt::format("y{}", i + 1)}, {{"axis", std::int64_t{0}}});
  }
  EXPECT_EQ(builder.DimsOf("y39"), Dims({std::int64_t{1} << 40}));
  EXPECT_EQ(builder.DimsOf("y40"), Dims({-1}));
}

// Two elements by the indices' shape, none by the data: nobody may read them.
TEST(ShapeRobustness, GatherFromNothingHasNoElements) {
  GraphBuilder builder;
  builder.Constant("none", TensorOf(DType::kFloat32, {0}, std::vector<float>()))
      .Constant("at", IntVector({0, 0}))
      .Constant("yes", TensorOf(DType::kBool, {2}, std::vector<std::uint8_t>{1, 1}))
      .Constant("other", FloatVector({1, 2}))
      .Add("Gather", {"none", "at"}, {"picked"})
      .Add("Where", {"yes", "picked", "other"}, {"where"})
      .Add("Add", {"picked", "other"}, {"sum"});
  EXPECT_EQ(builder.DimsOf("where"), Dims({2}));
  EXPECT_EQ(builder.DimsOf("sum"), Dims({2}));
}

// 40 000 reductions and copies of a 4096-element tensor: 0.16 G elements without the budget.
TEST(ShapeRobustness, ManyFoldsOfALargeTensorComeToAnEnd) {
  GraphBuilder builder;
  builder.Constant("x", IntVector(Dims(4096, 1)));
  for (int i = 0; i < 20'000; ++i) {
    builder.Add("ReduceMax", {"x"}, {fmt::format("r{}", i)});
    builder.Add("Identity", {"x"}, {fmt::format("i{}", i)});
  }
  EXPECT_EQ(Values(builder, "r0"), Dims({1}));
  EXPECT_EQ(Values(builder, "r19999"), Dims({-1}));
}

// Scopes nested deeper than a call stack should follow.
TEST(ShapeRobustness, DeepNestingDoesNotExhaustTheStack) {
  GraphBuilder builder;
  builder.Input("x", Dims{3});
  int scope = 0;
  for (int depth = 0; depth < 100'000; ++depth) {
    builder.Add("If", {"x"}, {"y"}, {}, scope);
    const int inner = builder.AddScope(Scope::Kind::kSubgraph, scope);
    builder.Subgraph("then_branch", inner, scope);
    scope = inner;
  }
  builder.Add("Relu", {"x"}, {"y"}, {}, scope);
  EXPECT_NO_THROW(builder.DimsOf("y", scope));
}

}  // namespace
}  // namespace espalier::testing
