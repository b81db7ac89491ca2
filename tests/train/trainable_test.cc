#include "train/trainable.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "tests/graph/graph_builder.h"
#include "tests/train/trainable_testing.h"

namespace espalier::train {
namespace {

using ::testing::ElementsAre;
using testing::FloatVector;
using testing::GraphBuilder;
using ::testing::HasSubstr;
using Values = std::map<std::string, at::Tensor>;

Tensor Weight(const Dims& dims) { return FromTorch(at::randn(dims), DType::kFloat32); }

template <class Action>
void ExpectError(ErrorCode code, const std::string& text, Action action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

const Constant& ConstantNamed(const Graph& graph, const std::string& name) {
  return *std::find_if(graph.constants.begin(), graph.constants.end(),
                       [&](const Constant& constant) { return constant.name == name; });
}

TrainTensor& ParameterNamed(Trainable* network, const std::string& name) {
  return *std::find_if(network->parameters().begin(), network->parameters().end(),
                       [&](const TrainTensor& parameter) { return parameter.name == name; });
}

void AddTo(TrainTensor* parameter, double value) {
  const at::NoGradGuard no_grad;
  parameter->tensor.add_(value);
}

TEST(Trainable, RefusesOperatorsByName) {
  GraphBuilder net;
  net.Input("x", Dims{1, 4, 4}).Input("s", Dims{1, 1, 4}).Output("y");
  net.Add("NonMaxSuppression", {"x", "s"}, {"y"});
  net.graph().scopes[0].nodes[0].name = "nms";
  ExpectError(ErrorCode::kUnsupported,
              "NonMaxSuppression 'nms' cannot be trained: there is no gradient for operator "
              "NonMaxSuppression",
              [&] { Trainable network(net.graph()); });
}

TEST(Trainable, RefusesFormsOfOperatorsByName) {
  GraphBuilder net;
  net.Input("x", Dims{1, 1, 4, 4}).Output("y").Constant("s", FloatVector({1, 1, 2, 2}));
  net.Add("Resize", {"x", "", "s"}, {"y"}, {{"antialias", std::int64_t{1}}});
  ExpectError(ErrorCode::kUnsupported, "Resize of 'y' cannot be trained: it uses antialias",
              [&] { Trainable network(net.graph()); });
}

TEST(Trainable, RefusesAValueThatNothingDefines) {
  GraphBuilder net;
  net.Output("y").Add("Relu", {"nowhere"}, {"y"});
  ExpectError(ErrorCode::kBadFile, "'nowhere'", [&] { Trainable network(net.graph()); });
}

class SmallNet : public ::testing::Test {
 protected:
  SmallNet() {
    at::manual_seed(3);
    net_.Input("x", Dims{2, 3})
        .Constant("w", Weight({3, 4}))
        .Constant("b", Weight({4}))
        .Constant("v", Weight({4, 4}))
        .Add("MatMul", {"x", "w"}, {"m"})
        .Add("Add", {"m", "b"}, {"a"})
        .Add("Relu", {"a"}, {"r"})
        .Add("MatMul", {"r", "v"}, {"y"})
        .Output("y");
  }
  GraphBuilder net_;
};

TEST_F(SmallNet, ReturnsWantedInnerValues) {
  Trainable network(net_.graph());
  const at::Tensor x = at::randn({2, 3});
  const std::vector<std::string> wanted = {"m", "b"};
  const Values got = network.Forward({{"x", x}}, true, wanted);
  EXPECT_EQ(got.size(), 3u);
  EXPECT_TRUE(got.at("m").equal(x.matmul(ParameterNamed(&network, "w").tensor)));
  EXPECT_TRUE(got.at("b").equal(ParameterNamed(&network, "b").tensor));
}

TEST_F(SmallNet, NamesWhatIsWrongWithARun) {
  Trainable network(net_.graph());
  ExpectError(ErrorCode::kInvalidArgument, "no input 'x'", [&] { network.Forward({}, true); });
  const std::vector<std::string> wanted = {"z"};
  ExpectError(ErrorCode::kInvalidArgument, "no value 'z'", [&] {
    network.Forward({{"x", at::ones({2, 3})}}, true, wanted);
  });
  ExpectError(ErrorCode::kShapeMismatch, "MatMul of 'm': ", [&] {
    network.Forward({{"x", at::ones({2, 5})}}, true);
  });
}

TEST_F(SmallNet, WritesOnlyWhatChanged) {
  Trainable network(net_.graph());
  AddTo(&ParameterNamed(&network, "b"), 0.5);
  const at::Tensor trained = ParameterNamed(&network, "b").tensor;
  network.WriteTo(&net_.graph());
  EXPECT_TRUE(ToTorch(ConstantNamed(net_.graph(), "b").tensor).equal(trained));
  for (const Constant& constant : net_.graph().constants) {
    EXPECT_EQ(constant.modified, constant.name == "b") << constant.name;
  }
}

TEST_F(SmallNet, RefusesToWriteIntoAnotherGraph) {
  Trainable network(net_.graph());
  net_.graph().constants[1].tensor = Weight({5});
  ExpectError(ErrorCode::kInternal, "'b'", [&] { network.WriteTo(&net_.graph()); });
  net_.graph().constants[1].name = "c";
  ExpectError(ErrorCode::kInternal, "has no constant 'b'", [&] { network.WriteTo(&net_.graph()); });
}

TEST_F(SmallNet, RoundsToTheStoredType) {
  const at::Tensor exact = at::randn({3, 4}).to(at::kHalf);
  net_.graph().constants[0].tensor = FromTorch(exact, DType::kFloat16);
  const at::Tensor fine = at::randn({4}, at::kDouble);
  net_.graph().constants[1].tensor = FromTorch(fine, DType::kFloat64);
  Trainable network(net_.graph());
  network.Forward({{"x", at::randn({2, 3})}}, true).at("y").sum().backward();
  AddTo(&ParameterNamed(&network, "w"), 1e-2);
  {
    const at::NoGradGuard no_grad;
    ParameterNamed(&network, "b").tensor[0] += 1;
  }
  network.WriteTo(&net_.graph());
  const at::Tensor w = ToTorch(net_.graph().constants[0].tensor);
  EXPECT_EQ(w.scalar_type(), at::kHalf);
  EXPECT_LE(Difference(w.to(at::kFloat), exact.to(at::kFloat) + 1e-2), 1e-3);
  const at::Tensor b = ToTorch(net_.graph().constants[1].tensor);
  EXPECT_TRUE(b.slice(0, 1).equal(fine.slice(0, 1))) << "float64 that no step touched";
  EXPECT_NEAR(b[0].item().toDouble(), fine[0].item().toDouble() + 1, 1e-6);
}

TEST(TrainableShared, AConstantReadTwiceIsOneParameter) {
  GraphBuilder net;
  net.Input("x", Dims{2, 3}).Output("y").Constant("w", Weight({3, 3}));
  net.Add("MatMul", {"x", "w"}, {"m"}).Add("MatMul", {"m", "w"}, {"y"});
  Trainable network(net.graph());
  ASSERT_EQ(network.parameters().size(), 1u);
  at::Tensor w = network.parameters()[0].tensor;
  const at::Tensor x = at::randn({2, 3});
  network.Forward({{"x", x}}, true).at("y").sum().backward();
  const at::Tensor got = w.grad().clone();
  w.mutable_grad() = at::Tensor();
  x.matmul(w).matmul(w).sum().backward();
  EXPECT_TRUE(got.allclose(w.grad()));
}

// As exporters write two equal scales: one constant, the second through Identity.
class MergedScales : public ::testing::Test {
 protected:
  static Graph Merged() {
    GraphBuilder net;
    net.Input("x", Dims{2, 3})
        .Constant("one", FloatVector({1, 1, 1}))
        .Constant("w", FromTorch(at::eye(3), DType::kFloat32))
        .Add("Identity", {"one"}, {"second"})
        .Add("Identity", {"second"}, {"third"})
        .Add("MatMul", {"x", "w"}, {"m"})
        .Add("Mul", {"m", "one"}, {"a"})
        .Add("Mul", {"a", "second"}, {"b"})
        .Add("Mul", {"b", "third"}, {"c"})
        .Add("MatMul", {"c", "w"}, {"y"})
        .Output("y");
    return net.graph();
  }
  static at::Tensor Evaluate(const Graph& graph) {
    return Trainable(graph).Forward({{"x", at::ones({2, 3})}}, false).at("y").detach();
  }
};

TEST_F(MergedScales, AreParametersOfTheirOwn) {
  Trainable network(Merged());
  std::vector<std::string> names;
  for (const TrainTensor& parameter : network.parameters()) {
    names.push_back(parameter.name);
    EXPECT_EQ(parameter.constant, parameter.name == "w" ? 1 : 0);
  }
  EXPECT_THAT(names, ElementsAre("one", "w", "second", "third"));
}

TEST_F(MergedScales, StayMergedIfNothingChanged) {
  Graph graph = Merged();
  Trainable(graph).WriteTo(&graph);
  EXPECT_EQ(graph.constants.size(), 2u);
  EXPECT_EQ(graph.scopes[0].nodes.size(), 7u);
}

TEST_F(MergedScales, AreWrittenApartIfOneChanged) {
  for (const std::string changed : {"one", "second", "third"}) {
    SCOPED_TRACE(changed);
    Graph graph = Merged();
    Trainable network(graph);
    AddTo(&ParameterNamed(&network, changed), 1);
    network.WriteTo(&graph);
    for (const std::string name : {"one", "second", "third"}) {
      Trainable written(graph);
      EXPECT_EQ(ParameterNamed(&written, name).tensor[0].item().toDouble(), name == changed ? 2 : 1)
          << name;
    }
    EXPECT_EQ(Evaluate(graph)[0][0].item().toDouble(), 2);
    const std::size_t constants = graph.constants.size();
    network.WriteTo(&graph);
    EXPECT_EQ(graph.constants.size(), constants) << "writing twice";
  }
}

TEST(TrainableNorm, RunningVarianceIsThePopulations) {
  GraphBuilder net;
  net.Input("x", Dims{4, 2})
      .Output("y")
      .Constant("scale", FloatVector({1, 2}))
      .Constant("shift", FloatVector({0, 1}))
      .Constant("mean", FloatVector({5, 5}))
      .Constant("variance", FloatVector({3, 3}));
  net.Add("BatchNormalization", {"x", "scale", "shift", "mean", "variance"}, {"y"},
          {{"momentum", 0.75f}});
  Trainable network(net.graph());
  ASSERT_EQ(network.buffers().size(), 2u);
  const at::Tensor x = at::randn({4, 2});
  network.Forward({{"x", x}}, /*training=*/false);
  EXPECT_EQ(network.buffers()[0].tensor[0].item().toDouble(), 5) << "evaluation moves nothing";
  network.Forward({{"x", x}}, /*training=*/true);
  network.WriteTo(&net.graph());
  const at::Tensor variance = ToTorch(ConstantNamed(net.graph(), "variance").tensor);
  const at::Tensor mean = ToTorch(ConstantNamed(net.graph(), "mean").tensor);
  EXPECT_TRUE(mean.allclose(0.75 * 5 + 0.25 * x.mean(0)));
  EXPECT_TRUE(variance.allclose(0.75 * 3 + 0.25 * x.var(0, /*unbiased=*/false)));
}

TEST(TrainableFusion, RefusesValuesInsideOfALayerNormalization) {
  const auto path = SharedFile("models/vit_mnist.onnx");
  if (path.empty()) GTEST_SKIP() << "no models/vit_mnist.onnx; set ESPALIER_SHARED";
  Trainable network(ReadOnnx(path).graph);
  const std::vector<std::string> inside = {"/mlp_head/mlp_head.0/Sub_output_0"};
  ExpectError(ErrorCode::kInvalidArgument, "inside of a layer normalization", [&] {
    network.Forward({{"input", at::ones({1, 1, 28, 28})}}, true, inside);
  });
}

// Slices [0, a), [a, b), [b, size) with a and b from the caller.
class NeighbouringSlices : public ::testing::Test {
 protected:
  NeighbouringSlices() {
    GraphBuilder net;
    net.Input("x", Dims{2, 6}).Input("a", Dims{1}).Input("b", Dims{1});
    net.graph().scopes[0].inputs[1].dtype = net.graph().scopes[0].inputs[2].dtype = DType::kInt64;
    net.Constant("begin", testing::IntVector({0}))
        .Constant("end", testing::IntVector({1000}))
        .Constant("axis", testing::IntVector({-1}))
        .Add("Mul", {"x", "x"}, {"s"})
        .Add("Slice", {"s", "begin", "a", "axis"}, {"first"})
        .Add("Slice", {"s", "a", "b", "axis"}, {"second"})
        .Add("Slice", {"s", "b", "end", "axis"}, {"third"})
        .Output("first")
        .Output("second")
        .Output("third");
    network_.emplace(net.graph());
  }

  void ExpectRight(std::int64_t a, std::int64_t b, std::int64_t size) {
    const at::Tensor x = at::randn({2, size}).set_requires_grad(true);
    const Values got = network_->Forward(
        {{"x", x}, {"a", at::full({1}, a, at::kLong)}, {"b", at::full({1}, b, at::kLong)}}, true);
    const at::Tensor square = (x * x).detach();
    EXPECT_TRUE(got.at("first").equal(square.slice(1, 0, a)));
    EXPECT_TRUE(got.at("second").equal(square.slice(1, a, b)));
    EXPECT_TRUE(got.at("third").equal(square.slice(1, b)));
    (got.at("first").sum() + 2 * got.at("second").sum() + 3 * got.at("third").sum()).backward();
    at::Tensor factor = at::ones({2, size});
    factor.slice(1, a, b).fill_(2);
    factor.slice(1, b).fill_(3);
    EXPECT_TRUE(x.grad().allclose(2 * x.detach() * factor)) << a << ' ' << b << ' ' << size;
  }

  std::optional<Trainable> network_;
};

TEST_F(NeighbouringSlices, AreRightInEachRunAndWhenTheCutsMove) {
  for (int i = 0; i < 3; ++i) ExpectRight(2, 4, 6);
  for (int i = 0; i < 3; ++i) ExpectRight(1, 4, 6);
  for (int i = 0; i < 3; ++i) ExpectRight(1, 4, 9);
  ExpectRight(2, 2, 6);
}

TEST_F(NeighbouringSlices, MayLeaveGaps) {
  for (int i = 0; i < 3; ++i) {
    const at::Tensor x = at::randn({2, 6});
    const auto at = [](std::int64_t place) { return at::full({1}, place, at::kLong); };
    const Values got = network_->Forward({{"x", x}, {"a", at(4)}, {"b", at(2)}}, true);
    EXPECT_EQ(got.at("first").size(1), 4);
    EXPECT_EQ(got.at("second").size(1), 0);
    EXPECT_EQ(got.at("third").size(1), 4);
  }
}

TEST(TrainableDropout, FollowsTorchsGenerator) {
  GraphBuilder net;
  net.Input("x", Dims{50}).Output("y").Add("Dropout", {"x"}, {"y"});
  Trainable network(net.graph());
  const auto run = [&](bool training) {
    at::manual_seed(9);
    return network.Forward({{"x", at::ones({50})}}, training).at("y");
  };
  EXPECT_TRUE(run(true).equal(run(true)));
  EXPECT_TRUE(run(true).eq(0).any().item().toBool());
  EXPECT_TRUE(run(true).eq(2).logical_or(run(true).eq(0)).all().item().toBool());
  EXPECT_TRUE(run(false).eq(1).all().item().toBool());
}

TEST(TrainableBranches, WriteTheirOwnConstants) {
  GraphBuilder net;
  const int then_branch = net.AddScope(Scope::Kind::kSubgraph, 0);
  const int else_branch = net.AddScope(Scope::Kind::kSubgraph, 0);
  net.Input("x", Dims{2, 3})
      .Constant("c", testing::TensorOf(DType::kBool, {}, std::vector<std::uint8_t>{1}))
      .Constant("w", Weight({3, 3}), then_branch)
      .Constant("w", Weight({3, 3}), else_branch)
      .Add("MatMul", {"x", "w"}, {"t"}, {}, then_branch)
      .Output("t", then_branch)
      .Add("MatMul", {"x", "w"}, {"e"}, {}, else_branch)
      .Output("e", else_branch)
      .Add("If", {"c"}, {"y"})
      .Subgraph("then_branch", then_branch)
      .Subgraph("else_branch", else_branch)
      .Output("y");
  Trainable network(net.graph());
  ASSERT_EQ(network.parameters().size(), 2u);
  EXPECT_EQ(network.parameters()[0].constant, 1);
  EXPECT_EQ(network.parameters()[0].name, "w");
  EXPECT_EQ(network.parameters()[1].name, "w@2") << "names are unique";
  AddTo(&network.parameters()[0], 1);
  network.WriteTo(&net.graph());
  EXPECT_TRUE(net.graph().constants[1].modified);
  EXPECT_FALSE(net.graph().constants[2].modified);
}

}  // namespace
}  // namespace espalier::train
