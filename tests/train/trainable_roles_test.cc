#include "train/trainable_roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/graph/graph_builder.h"

namespace espalier::train {
namespace {

using ::testing::ElementsAre;
using testing::FloatVector;
using testing::GraphBuilder;
using Role = ConstantRole;

Tensor Floats(const Dims& dims) {
  std::vector<float> values;
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) count *= dim;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(0.1f * static_cast<float>(i + 1));
  return testing::TensorOf(DType::kFloat32, dims, values);
}

std::vector<Role> RolesOf(GraphBuilder& net) {
  const Graph& graph = net.graph();
  return FindConstantRoles(graph, MakeTrainProgram(graph));
}

TEST(ConstantRoles, MeanAndDeviationOfTheInputAreFixed) {
  GraphBuilder net;
  net.Input("x", Dims{1, 3, 8, 8})
      .Constant("mean", Floats({3, 1, 1}))
      .Constant("deviation", Floats({3, 1, 1}))
      .Constant("w", Floats({4, 3, 3, 3}))
      .Constant("b", Floats({4}))
      .Add("Sub", {"x", "mean"}, {"s"})
      .Add("Div", {"s", "deviation"}, {"d"})
      .Add("Conv", {"d", "w", "b"}, {"y"})
      .Output("y");
  EXPECT_THAT(RolesOf(net), ElementsAre(Role::kFixed, Role::kFixed, Role::kWeight, Role::kVector));
}

TEST(ConstantRoles, ScalesBiasesAndPositionsBetweenLayersAreTrained) {
  GraphBuilder net;
  net.Input("x", Dims{1, 5, 4})
      .Constant("w", Floats({4, 4}))
      .Constant("b", Floats({4}))
      .Constant("position", Floats({1, 5, 4}))
      .Constant("half", FloatVector({0.5f}))
      .Constant("v", Floats({4, 2}))
      .Constant("last", Floats({2}))
      .Add("MatMul", {"x", "w"}, {"m"})
      .Add("Add", {"b", "m"}, {"a"})
      .Add("Add", {"a", "position"}, {"p"})
      .Add("Mul", {"p", "half"}, {"h"})
      .Add("MatMul", {"h", "v"}, {"n"})
      .Add("Add", {"n", "last"}, {"y"})
      .Output("y");
  EXPECT_THAT(RolesOf(net), ElementsAre(Role::kWeight, Role::kVector, Role::kVector, Role::kFixed,
                                        Role::kWeight, Role::kVector));
}

TEST(ConstantRoles, WhatDecodesBoxesIsFixed) {
  GraphBuilder net;
  net.Input("x", Dims{1, 3, 8, 8})
      .Constant("w", Floats({4, 3, 1, 1}))
      .Constant("shape", testing::IntVector({1, -1, 4}))
      .Constant("anchors", Floats({1, 64, 4}))
      .Constant("strides", Floats({4}))
      .Add("Conv", {"x", "w"}, {"c"})
      .Add("Reshape", {"c", "shape"}, {"r"})
      .Add("Mul", {"r", "strides"}, {"m"})
      .Add("Add", {"m", "anchors"}, {"y"})
      .Output("y");
  EXPECT_THAT(RolesOf(net), ElementsAre(Role::kWeight, Role::kFixed, Role::kFixed, Role::kFixed));
}

TEST(ConstantRoles, TokensAndEmbeddingsAreTrained) {
  GraphBuilder net;
  net.Input("ids", Dims{1, 5})
      .Constant("table", Floats({10, 4}))
      .Constant("position", Floats({1, 5, 4}))
      .Constant("token", Floats({1, 1, 4}))
      .Constant("w", Floats({4, 4}))
      .Add("Gather", {"table", "ids"}, {"e"})
      .Add("Add", {"e", "position"}, {"p"})
      .Add("Concat", {"token", "p"}, {"c"}, {{"axis", std::int64_t{1}}})
      .Add("MatMul", {"c", "w"}, {"y"})
      .Output("y");
  EXPECT_THAT(RolesOf(net),
              ElementsAre(Role::kWeight, Role::kVector, Role::kVector, Role::kWeight));
}

TEST(ConstantRoles, MasksAreFixed) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  GraphBuilder net;
  net.Input("x", Dims{4, 4})
      .Constant("w", Floats({4, 4}))
      .Constant("causal", FloatVector({0, -kInfinity, 0, 0}))
      .Constant("half", FloatVector({0, -65504.f, 0.5f, 0}))
      .Constant("swin", FloatVector({0, -100, 0, 0}))
      .Constant("keep", FloatVector({0, 1, 1, 0}))
      .Constant("zeros", FloatVector({0, 0, 0, 0}))
      .Constant("ones", FloatVector({1, 1, 1, 1}))
      .Add("MatMul", {"x", "w"}, {"m"});
  std::string last = "m";
  for (const std::string name : {"causal", "half", "swin", "keep", "zeros", "ones"}) {
    net.Add(name == "keep" || name == "ones" ? "Mul" : "Add", {last, name}, {"by " + name});
    last = "by " + name;
  }
  net.Add("MatMul", {last, "w"}, {"y"}).Output("y");
  EXPECT_THAT(RolesOf(net), ElementsAre(Role::kWeight, Role::kFixed, Role::kFixed, Role::kFixed,
                                        Role::kFixed, Role::kVector, Role::kVector));
}

TEST(ConstantRoles, WeightsAreFoundThroughComputation) {
  GraphBuilder net;
  net.Input("x", Dims{1, 3})
      .Constant("direction", Floats({4, 3}))
      .Constant("length", Floats({4, 1}))
      .Constant("epsilon", FloatVector({1e-5f}))
      .Add("Mul", {"direction", "length"}, {"scaled"})
      .Add("Add", {"scaled", "epsilon"}, {"shifted"})
      .Add("Transpose", {"shifted"}, {"w"})
      .Add("MatMul", {"x", "w"}, {"y"})
      .Output("y");
  EXPECT_THAT(RolesOf(net), ElementsAre(Role::kWeight, Role::kWeight, Role::kFixed));
}

TEST(ConstantRoles, TheLastNormalizationIsTrained) {
  GraphBuilder net;
  net.Input("x", Dims{1, 4})
      .Constant("w", Floats({4, 4}))
      .Constant("axes", testing::IntVector({-1}))
      .Constant("scale", Floats({4}))
      .Constant("shift", Floats({4}))
      .Add("MatMul", {"x", "w"}, {"m"})
      .Add("ReduceL2", {"m", "axes"}, {"l"})
      .Add("Div", {"m", "l"}, {"d"})
      .Add("Mul", {"d", "scale"}, {"s"})
      .Add("Add", {"s", "shift"}, {"y"})
      .Output("y");
  EXPECT_THAT(RolesOf(net), ElementsAre(Role::kWeight, Role::kFixed, Role::kVector, Role::kVector));
}

}  // namespace
}  // namespace espalier::train
