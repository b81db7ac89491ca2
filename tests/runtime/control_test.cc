#include "tests/runtime/runtime_testing.h"

namespace espalier::runtime {
namespace {

using testing::FloatsOf;
using testing::FloatVector;
using testing::GraphBuilder;
using testing::TensorOf;
using testing::Tensors;

Tensor Bool(bool value) {
  return TensorOf(DType::kBool, {},
                  std::vector<std::uint8_t>{value ? std::uint8_t{1} : std::uint8_t{0}});
}

Tensors RunTwice(const Graph& graph, const Tensors& inputs) {
  Session session(graph);
  const Tensors first = session.Run(inputs);
  const Tensors second = session.Run(inputs);
  testing::ExpectClose(second, first, 0);
  return second;
}

// The branches read a value of the outer graph, and a nested If reads through both.
TEST(If, TakesTheBranchAndSeesOuterValues) {
  GraphBuilder builder;
  builder.Input("x", Dims{2}).Input("c", Dims{});
  builder.graph().scopes[0].inputs[1].dtype = DType::kBool;
  builder.Add("Add", {"x", "x"}, {"twice"}).Add("If", {"c"}, {"out"}).Output("out");
  const int yes = builder.AddScope(Scope::Kind::kSubgraph, 0);
  const int no = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("then_branch", yes).Subgraph("else_branch", no);
  builder.Add("Mul", {"twice", "x"}, {"a"}, {}, yes).Output("a", yes);
  builder.Add("If", {"c"}, {"b"}, {}, no).Output("b", no);
  const int inner_yes = builder.AddScope(Scope::Kind::kSubgraph, no);
  const int inner_no = builder.AddScope(Scope::Kind::kSubgraph, no);
  builder.Subgraph("then_branch", inner_yes, no).Subgraph("else_branch", inner_no, no);
  builder.Output("x", inner_yes);
  builder.Add("Neg", {"twice"}, {"n"}, {}, inner_no).Output("n", inner_no);
  const Tensor x = FloatVector({3, -1});
  EXPECT_EQ(FloatsOf(RunTwice(builder.graph(), {{"x", x}, {"c", Bool(true)}}).at("out")),
            (std::vector<float>{18, 2}));
  EXPECT_EQ(FloatsOf(RunTwice(builder.graph(), {{"x", x}, {"c", Bool(false)}}).at("out")),
            (std::vector<float>{-6, 2}));
}

// Carried values that change places: each round needs the old ones of both. Fibonacci by rounds.
TEST(Loop, CarriesValuesAndStacksOutputs) {
  GraphBuilder builder;
  builder.Input("a", Dims{1})
      .Input("b", Dims{1})
      .Constant("trips", testing::IntScalar(6))
      .Add("Loop", {"trips", "", "a", "b"}, {"last_a", "last_b", "all"})
      .Output("last_a")
      .Output("last_b")
      .Output("all");
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body);
  builder.Input("i", Dims{}, body).Input("go", Dims{}, body);
  builder.Input("p", Dims{1}, body).Input("q", Dims{1}, body);
  builder.Add("Add", {"p", "q"}, {"next"}, {}, body);
  builder.Output("go", body).Output("q", body).Output("next", body).Output("p", body);
  const Tensors out = RunTwice(builder.graph(), {{"a", FloatVector({0})}, {"b", FloatVector({1})}});
  EXPECT_EQ(FloatsOf(out.at("all")), (std::vector<float>{0, 1, 1, 2, 3, 5}));
  EXPECT_EQ(FloatsOf(out.at("last_a")), (std::vector<float>{8}));
  EXPECT_EQ(FloatsOf(out.at("last_b")), (std::vector<float>{13}));
  EXPECT_EQ(out.at("all").dims(), (Dims{6, 1}));
}

TEST(Scan, WalksAnAxisBackwards) {
  GraphBuilder builder;
  builder.Input("start", Dims{2})
      .Input("x", Dims{2, 3})
      .Add("Scan", {"start", "x"}, {"sum", "sums"},
           {{"num_scan_inputs", std::int64_t{1}},
            {"scan_input_axes", std::vector<std::int64_t>{1}},
            {"scan_input_directions", std::vector<std::int64_t>{1}},
            {"scan_output_axes", std::vector<std::int64_t>{-1}}})
      .Output("sum")
      .Output("sums");
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body);
  builder.Input("s", Dims{2}, body).Input("v", Dims{2}, body);
  builder.Add("Add", {"s", "v"}, {"t"}, {}, body).Output("t", body).Output("t", body);
  const Tensors out =
      RunTwice(builder.graph(),
               {{"start", FloatVector({100, 200})},
                {"x", TensorOf(DType::kFloat32, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6})}});
  EXPECT_EQ(FloatsOf(out.at("sum")), (std::vector<float>{106, 215}));
  EXPECT_EQ(FloatsOf(out.at("sums")), (std::vector<float>{103, 105, 106, 206, 211, 215}));
}

}  // namespace
}  // namespace espalier::runtime
