// Layers that run together in stripes give what they give one by one.
#include <random>

#include "espalier/base/isa.h"
#include "tests/runtime/runtime_testing.h"

namespace espalier {
namespace {

using testing::Attributes;
using testing::ExpectClose;
using testing::GraphBuilder;
using testing::RandomTensor;
using testing::RunPlainly;
using testing::Tensors;

// A network of convolutions in a row, "y0" to "y<layers - 1>", of any kind, stride and padding.
class ChainMaker {
 public:
  explicit ChainMaker(std::uint64_t seed) : random_(seed) {}

  std::int64_t Of(std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(1, most)(random_);
  }

  Graph Make(int layers) {
    dims_ = {1, Of(9), 8 + Of(30), 4 + Of(30)};
    builder_.Input("x", dims_);
    inputs_["x"] = RandomTensor(dims_, 1);
    last_ = "x";
    for (int i = 0; i < layers; ++i) AddLayer(fmt::format("y{}", i));
    builder_.Output(last_);
    return builder_.graph();
  }

  const Tensors& inputs() const { return inputs_; }
  std::int64_t rows() const { return dims_[2]; }

 private:
  void AddLayer(const std::string& name) {
    const bool depthwise = Of(2) == 1 && dims_[1] > 1;
    std::int64_t kernel = depthwise || Of(3) == 1 ? 2 * Of(2) + 1 : 1;
    if (kernel > std::min(dims_[2], dims_[3])) kernel = 1;
    const std::int64_t stride = kernel > 1 && Of(3) == 1 ? 2 : 1;
    const std::int64_t pad = Of(4) == 1 ? 0 : kernel / 2;
    const std::int64_t groups = depthwise ? dims_[1] : 1;
    const std::int64_t channels = depthwise ? groups * Of(2) : Of(12);
    const Dims weight = {channels, dims_[1] / groups, kernel, kernel};
    const auto seed = static_cast<std::uint64_t>(Of(1000000));
    builder_.Constant(name + "w", RandomTensor(weight, seed, kernel == 1 ? 6 : 0));
    builder_.Constant(name + "b", RandomTensor({channels}, seed + 1));
    const bool activated = Of(2) == 1;
    const std::string raw = activated ? name + "raw" : name;
    builder_.Add("Conv", {last_, name + "w", name + "b"}, {raw},
                 {{"group", groups},
                  {"strides", std::vector<std::int64_t>{stride, stride}},
                  {"pads", std::vector<std::int64_t>{pad, pad, pad, pad}}});
    dims_[1] = channels;
    for (int axis : {2, 3}) dims_[axis] = (dims_[axis] + 2 * pad - kernel) / stride + 1;
    if (activated) AddResidual(name, raw);
    last_ = name;
  }

  // Adds an input of the network, then an activation; both go into the layer.
  void AddResidual(const std::string& name, const std::string& raw) {
    std::string sum = raw;
    if (Of(2) == 1) {
      const std::string residual = name + "r";
      builder_.Input(residual, dims_);
      inputs_[residual] = RandomTensor(dims_, 77);
      sum = name + "sum";
      builder_.Add("Add", {raw, residual}, {sum});
    }
    builder_.Add(Of(2) == 1 ? "Relu" : "HardSwish", {sum}, {name});
  }

  std::mt19937_64 random_;
  GraphBuilder builder_;
  Tensors inputs_;
  Dims dims_;
  std::string last_;
};

std::size_t CountStriped(const Session& session) {
  const auto steps = session.Steps();
  return static_cast<std::size_t>(std::ranges::count_if(steps, [](const StepReport& step) {
    return step.reason.find("striped") != std::string::npos;
  }));
}

// The name of the layer that "y0" became part of: its first output after fusing.
std::string FirstLayer(const Graph& graph, const Tensors& inputs) {
  Session session(graph, {.tune = false});
  session.Run(inputs);
  return session.Steps().front().name;
}

TEST(Stripes, RandomChainsGiveWhatTheirLayersGive) {
  int tried = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    ChainMaker maker(seed);
    const int layers = 1 + static_cast<int>(maker.Of(5));
    const Graph graph = maker.Make(layers);
    const std::int64_t rows = maker.Of(maker.rows());
    SCOPED_TRACE(fmt::format("seed {}, {} layers, {} rows", seed, layers, rows));
    const Tensors want = RunPlainly(graph, maker.inputs());
    const std::string first = FirstLayer(graph, maker.inputs());
    for (const int threads : {1, 3}) {
      SessionOptions options{.threads = threads, .tune = false};
      options.choices = {{first, ActiveIsa(), fmt::format("stripes {}x{}", layers, rows)}};
      Session session(graph, options);
      for (int run = 0; run < 2; ++run) {
        ExpectClose(session.Run(maker.inputs()), want, 1e-5);
      }
      ASSERT_EQ(CountStriped(session), static_cast<std::size_t>(layers));
      ++tried;
    }
  }
  EXPECT_EQ(tried, 300);
}

// 1x1, depthwise, 1x1 on images too large for L2, as MobileNet begins.
Graph LargeNetwork(bool read_between) {
  GraphBuilder builder;
  builder.Input("x", Dims{1, 16, 112, 112})
      .Constant("w1", RandomTensor({96, 16, 1, 1}, 1, 7))
      .Constant("w2", RandomTensor({96, 1, 3, 3}, 2))
      .Constant("w3", RandomTensor({24, 96, 1, 1}, 3, 7))
      .Add("Conv", {"x", "w1"}, {"a"})
      .Add("Relu", {"a"}, {"b"})
      .Add("Conv", {"b", "w2"}, {"c"},
           {{"group", std::int64_t{96}},
            {"strides", std::vector<std::int64_t>{2, 2}},
            {"pads", std::vector<std::int64_t>{1, 1, 1, 1}}})
      .Add("Conv", {"c", "w3"}, {"y"})
      .Output("y");
  if (read_between) builder.Output("c");
  return builder.graph();
}

TEST(Stripes, AreUsedWhereImagesAreLargerThanTheCache) {
  const Tensors inputs = {{"x", RandomTensor({1, 16, 112, 112}, 5)}};
  const Graph graph = LargeNetwork(false);
  Session session(graph, {.tune = false});
  ExpectClose(session.Run(inputs), RunPlainly(graph, inputs), 1e-5);
  EXPECT_GE(CountStriped(session), 2u);
  // The image between the layers, 4.8 MB, is nowhere.
  EXPECT_LT(session.ArenaBytes(), std::size_t{96} * 112 * 112 * 4);
}

TEST(Stripes, WhatOthersReadIsMade) {
  const Tensors inputs = {{"x", RandomTensor({1, 16, 112, 112}, 5)}};
  const Graph graph = LargeNetwork(true);
  Session session(graph, {.tune = false});
  ExpectClose(session.Run(inputs), RunPlainly(graph, inputs), 1e-5);
}

TEST(Stripes, TimedChoiceIsRepeatedFromItsText) {
  const Tensors inputs = {{"x", RandomTensor({1, 16, 112, 112}, 5)}};
  const Graph graph = LargeNetwork(false);
  Session tuned(graph);
  const Tensors want = tuned.Run(inputs);
  SessionOptions options;
  for (const StepReport& step : tuned.Steps()) {
    if (!step.choice.empty()) options.choices.push_back({step.name, ActiveIsa(), step.choice});
  }
  Session again(graph, options);
  ExpectClose(again.Run(inputs), want, 0);
  EXPECT_EQ(CountStriped(again), CountStriped(tuned));
}

// Choices that do not fit the network are ignored.
TEST(Stripes, ChoicesThatDoNotFitAreIgnored) {
  const Tensors inputs = {{"x", RandomTensor({1, 16, 112, 112}, 5)}};
  const Graph graph = LargeNetwork(false);
  const Tensors want = RunPlainly(graph, inputs);
  for (const char* text : {"stripes 0x1", "stripes 2x0", "stripes 9x4", "stripes 3x999",
                           "stripes 4x2", "stripes", "stripes 18446744073709551615x1"}) {
    SessionOptions options{.tune = false};
    options.choices = {{FirstLayer(graph, inputs), ActiveIsa(), text}};
    Session session(graph, options);
    ExpectClose(session.Run(inputs), want, 1e-5);
    EXPECT_EQ(CountStriped(session), 0u) << text;
  }
}

}  // namespace
}  // namespace espalier
