#include "train/batch_norm_insertion.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "espalier/onnx/onnx_file.h"
#include "espalier/runtime/session.h"
#include "tests/graph/graph_builder.h"
#include "tests/train/trainable_testing.h"

namespace espalier::train {
namespace {

using Batch = std::map<std::string, at::Tensor>;
using testing::GraphBuilder;

Tensor RandomWeight(const Dims& dims) { return FromTorch(at::randn(dims), DType::kFloat32); }

// Two convolutions, the first without a bias, and a last layer.
Graph SmallNet() {
  at::manual_seed(5);
  GraphBuilder net;
  net.Input("x", Dims{4, 3, 6, 6})
      .Constant("w1", RandomWeight({8, 3, 3, 3}))
      .Constant("w2", RandomWeight({4, 8, 1, 1}))
      .Constant("b2", RandomWeight({4}))
      .Constant("w3", RandomWeight({2, 4, 1, 1}))
      .Add("Conv", {"x", "w1"}, {"c1"})
      .Add("Relu", {"c1"}, {"r1"})
      .Add("Conv", {"r1", "w2", "b2"}, {"c2"})
      .Add("Relu", {"c2"}, {"r2"})
      .Add("Conv", {"r2", "w3"}, {"y"})
      .Output("y");
  return net.graph();
}

at::Tensor Evaluate(Trainable* network, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  return network->Forward({{"x", x}}, /*training=*/false).at("y");
}

void Step(Trainable* network, const at::Tensor& x) {
  network->Forward({{"x", x}}, /*training=*/true).at("y").square().mean().backward();
  const at::NoGradGuard no_grad;
  for (TrainTensor& parameter : network->parameters()) {
    if (parameter.tensor.grad().defined()) parameter.tensor.sub_(parameter.tensor.grad(), 0.05);
  }
}

TEST(InsertBatchNorm, KeepsTheFunctionAndTheWeights) {
  Graph graph = SmallNet();
  Trainable network(graph);
  const at::Tensor x = at::randn({4, 3, 6, 6});
  const at::Tensor want = Evaluate(&network, x);
  const std::vector<Batch> batches = {{{"x", at::randn({4, 3, 6, 6})}}, {{"x", x}}};
  EXPECT_EQ(InsertBatchNorm(&network, batches), 2u) << "the last layer gets none";
  EXPECT_LE(Difference(Evaluate(&network, x), want), 1e-5);
  network.WriteTo(&graph);
  for (const Constant& constant : graph.constants) {
    const bool bias = constant.name == "b2" || constant.name == "w1.bias";
    EXPECT_TRUE(bias || !constant.modified) << constant.name;
  }
}

TEST(InsertBatchNorm, MeasuresAllBatchesAsOne) {
  Graph graph = SmallNet();
  const at::Tensor x = at::randn({6, 3, 6, 6});
  Trainable whole(graph), parts(graph);
  InsertBatchNorm(&whole, std::vector<Batch>{{{"x", x}}});
  InsertBatchNorm(&parts, std::vector<Batch>{{{"x", x.slice(0, 0, 1)}}, {{"x", x.slice(0, 1, 6)}}});
  ASSERT_EQ(whole.buffers().size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_LE(Difference(parts.buffers()[i].tensor, whole.buffers()[i].tensor), 1e-6);
  }
}

TEST(InsertBatchNorm, FoldsBackAfterTrainingIntoWeightsAndBiases) {
  Graph graph = SmallNet();
  Trainable network(graph);
  const at::Tensor x = at::randn({4, 3, 6, 6});
  InsertBatchNorm(&network, std::vector<Batch>{{{"x", x}}});
  const at::Tensor hole = network.parameters()[0].tensor;
  ASSERT_EQ(network.parameters()[0].name, "w1");
  for (int i = 0; i < 3; ++i) {
    Step(&network, x);
    const at::NoGradGuard no_grad;
    hole.select(1, 0).zero_();
  }
  network.WriteTo(&graph);
  Trainable written(graph);
  EXPECT_EQ(written.parameters().size(), 5u) << "w1 w2 b2 w3 and a bias for w1";
  EXPECT_LE(Difference(Evaluate(&written, x), Evaluate(&network, x)), 1e-5);
  const at::Tensor w1 = ToTorch(graph.constants[0].tensor);
  EXPECT_TRUE(w1.select(1, 0).eq(0).all().item().toBool()) << "zeros stay zeros";
  // Writing again changes nothing and adds nothing.
  const std::size_t constants = graph.constants.size();
  for (Constant& constant : graph.constants) constant.modified = false;
  network.WriteTo(&graph);
  EXPECT_EQ(graph.constants.size(), constants);
  for (const Constant& constant : graph.constants) EXPECT_FALSE(constant.modified) << constant.name;
}

TEST(InsertBatchNorm, LeavesSharedWeightsAlone) {
  Graph graph = SmallNet();
  graph.scopes[0].nodes.push_back(graph.scopes[0].nodes[0]);
  graph.scopes[0].nodes.back().outputs = {"again"};
  graph.scopes[0].outputs.push_back({"again", DType::kFloat32, std::nullopt});
  Trainable network(graph);
  EXPECT_EQ(InsertBatchNorm(&network, std::vector<Batch>{{{"x", at::randn({4, 3, 6, 6})}}}), 1u);
}

TEST(InsertBatchNorm, WritesAResNetThatRunsAsItWasTrained) {
  const auto path = SharedFile("models/cifar_resnet20.onnx");
  if (path.empty()) GTEST_SKIP() << "no models/cifar_resnet20.onnx; set ESPALIER_SHARED";
  OnnxModel model = ReadOnnx(path);
  Trainable network(model.graph);
  const std::string input = model.graph.scopes[0].inputs[0].name;
  const std::string output = model.graph.scopes[0].outputs[0].name;
  at::manual_seed(1);
  const Batch batch = {{input, at::randn({8, 3, 32, 32})}};
  EXPECT_EQ(InsertBatchNorm(&network, std::vector<Batch>{batch}), 19u);
  network.Forward(batch, /*training=*/true).at(output).square().mean().backward();
  {
    const at::NoGradGuard no_grad;
    for (TrainTensor& parameter : network.parameters()) {
      if (parameter.tensor.grad().defined()) parameter.tensor.sub_(parameter.tensor.grad(), 1e-3);
    }
  }
  network.WriteTo(&model.graph);
  Session session(model.graph, {.threads = 1, .tune = false});
  const Tensor x = FromTorch(batch.at(input), DType::kFloat32);
  const at::NoGradGuard no_grad;
  EXPECT_LE(Difference(ToTorch(session.Run({{input, x}}).at(output)),
                       network.Forward(batch, false).at(output)),
            1e-4);
}

// The whole way through files: a convolution that has no bias gets one.
TEST(InsertBatchNorm, AddsAMissingBiasToTheFile) {
  const auto path = SharedFile("models/cifar_resnet20.onnx");
  if (path.empty()) GTEST_SKIP() << "no models/cifar_resnet20.onnx; set ESPALIER_SHARED";
  const auto file =
      std::filesystem::temp_directory_path() / fmt::format("espalier_norm_{}.onnx", getpid());
  OnnxModel model = ReadOnnx(path);
  model.graph.scopes[0].nodes[0].inputs.resize(2);
  WriteOnnx(model, file, Overwrite::kYes);
  model = ReadOnnx(file);
  Trainable network(model.graph);
  at::manual_seed(2);
  const Batch batch = {{model.graph.scopes[0].inputs[0].name, at::randn({4, 3, 32, 32})}};
  InsertBatchNorm(&network, std::vector<Batch>{batch});
  network.Forward(batch, /*training=*/true);  // moves the running statistics
  network.WriteTo(&model.graph);
  WriteOnnx(model, file, Overwrite::kYes);
  const OnnxModel written = ReadOnnx(file);
  std::filesystem::remove(file);
  EXPECT_EQ(written.graph.scopes[0].nodes[0].inputs.size(), 3u);
  Trainable plain(written.graph);
  const at::NoGradGuard no_grad;
  EXPECT_LE(Difference(plain.Forward(batch, false).begin()->second,
                       network.Forward(batch, false).begin()->second),
            1e-5);
}

}  // namespace
}  // namespace espalier::train
