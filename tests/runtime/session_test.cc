#include "espalier/runtime/session.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <thread>

#include "espalier/base/error.h"
#include "tests/runtime/runtime_testing.h"

namespace espalier {
namespace {

using testing::ExpectClose;
using testing::ExpectSameFunction;
using testing::FloatsOf;
using testing::GraphBuilder;
using testing::RandomTensor;
using testing::RunPlainly;
using testing::TensorOf;
using testing::Tensors;

const testing::Attributes kSamePads = {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}};

// Two branches that a Concat joins, a residual, a depthwise and a sparse layer; any batch.
Graph SmallNetwork() {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 4, 9, 8})
      .Constant("w1", RandomTensor({16, 4, 3, 3}, 1))
      .Constant("w2", RandomTensor({16, 16, 1, 1}, 2, 6))
      .Constant("w3", RandomTensor({16, 1, 3, 3}, 3))
      .Constant("w4", RandomTensor({8, 32, 1, 1}, 4, 7))
      .Constant("b", RandomTensor({16}, 5))
      .Constant("head", RandomTensor({8, 10}, 6))
      .Add("Conv", {"x", "w1", "b"}, {"c1"}, kSamePads)
      .Add("Relu", {"c1"}, {"r1"})
      .Add("Conv", {"r1", "w2", "b"}, {"c2"})
      .Add("Add", {"c2", "r1"}, {"s2"})
      .Add("HardSwish", {"s2"}, {"h2"});
  testing::Attributes depthwise = kSamePads;
  depthwise["group"] = std::int64_t{16};
  builder.Add("Conv", {"h2", "w3"}, {"d3"}, depthwise)
      .Add("Concat", {"d3", "h2"}, {"j"}, {{"axis", std::int64_t{1}}})
      .Add("Conv", {"j", "w4"}, {"c4"})
      .Add("GlobalAveragePool", {"c4"}, {"p"})
      .Add("Flatten", {"p"}, {"f"})
      .Add("MatMul", {"f", "head"}, {"logits"})
      .Output("logits")
      .Output("j");
  return builder.graph();
}

Tensors ImagesOf(std::int64_t batch, std::uint64_t seed = 9) {
  return {{"x", RandomTensor({batch, 4, 9, 8}, seed)}};
}

TEST(Session, ComputesTheFunctionOfTheGraph) {
  for (const std::int64_t batch : {1, 3}) ExpectSameFunction(SmallNetwork(), ImagesOf(batch));
}

// A convolution and the activation that is fused with it, on numbers that are NaN or far away.
void ExpectFusedKeepsNan(const char* activation, std::int64_t kernel, std::int64_t group) {
  SCOPED_TRACE(fmt::format("{} after {}x{} in {} groups", activation, kernel, kernel, group));
  std::vector<float> numbers = FloatsOf(RandomTensor({1, 16, 9, 8}, 1));
  numbers[40] = numbers[3 * 72 + 71] = std::numeric_limits<float>::quiet_NaN();
  numbers[100] = -1e4f;
  numbers[5 * 72 + 30] = 1e4f;
  GraphBuilder builder;
  builder.Input("x", Dims{1, 16, 9, 8})
      .Constant("w", RandomTensor({16, 16 / group, kernel, kernel}, 2, group == 1 ? 5 : 0))
      .Add("Conv", {"x", "w"}, {"c"},
           {{"pads", std::vector<std::int64_t>(4, kernel / 2)}, {"group", group}})
      .Add(activation, {"c"}, {"y"})
      .Output("y");
  const Tensors inputs = {{"x", TensorOf(DType::kFloat32, {1, 16, 9, 8}, numbers)}};
  Session session(builder.graph(), {.tune = false});
  const std::vector<float> got = FloatsOf(session.Run(inputs).at("y"));
  const std::vector<float> want = FloatsOf(RunPlainly(builder.graph(), inputs).at("y"));
  ASSERT_EQ(session.Steps().size(), 1u);  // fused
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(std::isnan(got[i]), std::isnan(want[i])) << got[i] << " at " << i;
    if (std::isnan(want[i])) continue;
    ASSERT_NEAR(got[i], want[i], 1e-2 + 1e-5 * std::abs(want[i])) << "at " << i;
  }
}

TEST(Session, FusedActivationsKeepNanAndFarNumbers) {
  for (const char* activation :
       {"Relu", "Clip", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh"}) {
    ExpectFusedKeepsNan(activation, 1, 1);
    ExpectFusedKeepsNan(activation, 3, 1);
    ExpectFusedKeepsNan(activation, 3, 16);
  }
}

// What a Conv gives, or the code of its error, with the weight as a constant or as an input.
struct ConvOutcome {
  std::optional<ErrorCode> error;
  Tensors outputs;
};

ConvOutcome RunConv(const Tensor& x, const Tensor& w, const testing::Attributes& attributes,
                    bool constant) {
  GraphBuilder builder;
  builder.Input("x", x.dims());
  constant ? builder.Constant("w", w) : builder.Input("w", w.dims());
  builder.Add("Conv", {"x", "w"}, {"y"}, attributes).Output("y");
  Tensors inputs = {{"x", x}};
  if (!constant) inputs.emplace("w", w);
  try {
    Session session(builder.graph(), {.tune = false});
    return {std::nullopt, session.Run(inputs)};
  } catch (const Error& error) {
    return {error.code(), {}};
  }
}

void ExpectPlacedAlike(const Tensor& x, const Tensor& w, const testing::Attributes& attributes) {
  const ConvOutcome packed = RunConv(x, w, attributes, true);
  const ConvOutcome general = RunConv(x, w, attributes, false);
  ASSERT_EQ(packed.error, general.error);
  if (!general.error) ExpectClose(packed.outputs, general.outputs, 1e-5);
}

using Ints = std::vector<std::int64_t>;

TEST(Session, PlacesWindowsOfConstantAndOfComputedWeightsAlike) {
  for (const char* auto_pad : {"", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "SAME"}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      for (const std::int64_t kernel : {1, 2, 3, 5}) {
        for (const std::int64_t group : {1, 4}) {
          const std::int64_t dilation = 1 + (kernel + stride) % 2;
          SCOPED_TRACE(fmt::format("'{}' stride {} kernel {} group {} dilation {}", auto_pad,
                                   stride, kernel, group, dilation));
          testing::Attributes attributes = {{"auto_pad", std::string(auto_pad)},
                                            {"group", group},
                                            {"strides", Ints{stride, 1}},
                                            {"dilations", Ints{1, dilation}}};
          const Tensor image = RandomTensor({2, 4, 8, 7}, 1);
          ExpectPlacedAlike(image, RandomTensor({4, 4 / group, kernel, 3}, 2), attributes);
          attributes["strides"] = Ints{stride};
          attributes["dilations"] = Ints{dilation};
          const Tensor row = RandomTensor({2, 4, 11}, 3);
          ExpectPlacedAlike(row, RandomTensor({4, 4 / group, kernel}, 4), attributes);
        }
      }
    }
  }
}

TEST(Session, RefusesWindowsOfConstantAndOfComputedWeightsAlike) {
  const testing::Attributes cases[] = {{{"pads", Ints{1, 2, 0, 1}}},
                                       {{"pads", Ints{-1, 0, 0, 0}}},
                                       {{"pads", Ints{1, 1}}},
                                       {{"strides", Ints{0, 1}}},
                                       {{"strides", Ints{2}}},
                                       {{"dilations", Ints{4, 4}}},
                                       {{"dilations", Ints{1, std::int64_t{1} << 40}}},
                                       {{"kernel_shape", Ints{3, 2}}},
                                       {{"kernel_shape", Ints{3}}},
                                       {{"group", std::int64_t{-4}}}};
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    SCOPED_TRACE(i);
    const Tensor w = RandomTensor({4, 4, 3, 3}, 2);
    ExpectPlacedAlike(RandomTensor({1, 4, 8, 7}, 1), w, cases[i]);
    testing::Attributes depthwise = cases[i];
    depthwise.emplace("group", std::int64_t{4});
    ExpectPlacedAlike(RandomTensor({1, 4, 8, 7}, 1), RandomTensor({4, 1, 3, 3}, 2), depthwise);
    ExpectPlacedAlike(RandomTensor({1, 4, 0, 7}, 1), w, cases[i]);
    ExpectPlacedAlike(RandomTensor({1, 4, 0, 7}, 1), RandomTensor({4, 1, 3, 3}, 2), depthwise);
  }
  // All of an output lies in the padding.
  for (const std::int64_t group : {1, 4}) {
    ExpectPlacedAlike(RandomTensor({1, 4, 0, 7}, 1), RandomTensor({4, 4 / group, 3, 3}, 2),
                      {{"pads", Ints{2, 2, 2, 2}}, {"group", group}});
  }
}

TEST(Session, PlansEachShapeOnce) {
  const Graph graph = SmallNetwork();
  Session session(graph);
  for (const std::int64_t batch : {1, 4, 1, 2, 4}) {
    const Tensors inputs = ImagesOf(batch, static_cast<std::uint64_t>(batch));
    ExpectClose(session.Run(inputs), RunPlainly(graph, inputs), 1e-5);
  }
}

TEST(Session, GivesTheSameBytesAgain) {
  Session session(SmallNetwork(), {.tune = false});
  Session other(SmallNetwork(), {.tune = false});
  const auto first = session.Run(ImagesOf(1));
  for (Session* s : {&session, &other}) {
    EXPECT_TRUE(
        std::ranges::equal(s->Run(ImagesOf(1)).at("logits").bytes(), first.at("logits").bytes()));
  }
}

TEST(Session, SaysWhichKernelsRunAndWhy) {
  Session session(SmallNetwork());
  session.Run(ImagesOf(1));
  bool depthwise = false;
  bool sparse = false;
  for (const StepReport& step : session.Steps()) {
    depthwise = depthwise || step.kernel.starts_with("depthwise");
    sparse = sparse || (step.sparsity > 0.5 && !step.reason.empty() && !step.choice.empty());
  }
  EXPECT_TRUE(depthwise);
  EXPECT_TRUE(sparse);
}

TEST(Session, RepeatsChoicesThatWereMadeBefore) {
  Session tuned(SmallNetwork());
  tuned.Run(ImagesOf(1));
  std::vector<KernelChoice> choices;
  for (const StepReport& step : tuned.Steps()) {
    if (!step.choice.empty()) choices.push_back({step.name, "none", step.choice});
  }
  ASSERT_FALSE(choices.empty());
  choices[0].isa = "none";
  Session session(SmallNetwork(), {.tune = false, .choices = choices});
  EXPECT_NO_THROW(session.Run(ImagesOf(1)));
}

TEST(Session, RunsDenselyOnRequest) {
  Session session(SmallNetwork(), {.dense_only = true});
  ExpectClose(session.Run(ImagesOf(1)), RunPlainly(SmallNetwork(), ImagesOf(1)), 1e-5);
  for (const StepReport& step : session.Steps()) {
    EXPECT_EQ(step.kernel.find("unstructured"), std::string::npos) << step.kernel;
  }
}

TEST(Session, ServesTwoSessionsOnTwoThreads) {
  const Tensors want = RunPlainly(SmallNetwork(), ImagesOf(1));
  const auto work = [&] {
    Session session(SmallNetwork(), {.threads = 2});
    for (int i = 0; i < 20; ++i) ExpectClose(session.Run(ImagesOf(1)), want, 1e-5);
  };
  std::thread other(work);
  work();
  other.join();
}

// A value whose shape depends on data: in each run another number of elements.
TEST(Session, FollowsShapesThatDependOnData) {
  GraphBuilder builder;
  builder.Input("x", Dims{6})
      .Constant("minus", TensorOf(DType::kInt64, {1}, Dims{-1}))
      .Add("NonZero", {"x"}, {"where"})
      .Add("Reshape", {"where", "minus"}, {"flat"})
      .Add("Gather", {"x", "flat"}, {"picked"})
      .Add("Mul", {"picked", "picked"}, {"squares"})
      .Add("Concat", {"picked", "squares"}, {"out"}, {{"axis", std::int64_t{0}}})
      .Output("out");
  Session session(builder.graph());
  for (const std::vector<float>& x : {std::vector<float>{1, 0, 2, 0, 0, 3},
                                      {0, 0, 0, 0, 0, 4},
                                      {1, 2, 3, 4, 5, 6},
                                      {0, 0, 0, 0, 0, 0},
                                      {1, 0, 2, 0, 0, 3}}) {
    std::vector<float> want;
    for (const float v : x) {
      if (v != 0) want.push_back(v);
    }
    const std::size_t count = want.size();
    for (std::size_t i = 0; i < count; ++i) want.push_back(want[i] * want[i]);
    const Tensors inputs = {{"x", TensorOf(DType::kFloat32, {6}, x)}};
    EXPECT_EQ(FloatsOf(session.Run(inputs).at("out")), want);
  }
}

TEST(Session, PassesAnInputOrAConstantThrough) {
  GraphBuilder builder;
  builder.Input("x", Dims{3})
      .Constant("c", RandomTensor({2}, 1))
      .Add("Identity", {"x"}, {"y"})
      .Output("x")
      .Output("y")
      .Output("c");
  ExpectSameFunction(builder.graph(), {{"x", RandomTensor({3}, 2)}}, 0);
}

// ---------------------------------------------------------------- Errors

template <typename Call>
void ExpectError(ErrorCode code, const std::string& part, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Session, NamesEveryMissingOperatorBeforeItRuns) {
  GraphBuilder builder;
  builder.Input("x", Dims{3})
      .Add("Frobnicate", {"x"}, {"y"})
      .Add("my.domain:Other", {"y"}, {"z"})
      .Output("z");
  ExpectError(ErrorCode::kUnsupported, "Frobnicate, my.domain.Other",
              [&] { Session session(builder.graph()); });
}

TEST(Session, RefusesInputsThatDoNotFit) {
  Session session(SmallNetwork());
  ExpectError(ErrorCode::kInvalidArgument, "input 'x' is missing", [&] { session.Run(Tensors()); });
  ExpectError(ErrorCode::kInvalidArgument, "no input 'y'", [&] {
    Tensors inputs = ImagesOf(1);
    inputs.emplace("y", RandomTensor({1}, 1));
    session.Run(inputs);
  });
  ExpectError(ErrorCode::kInvalidArgument, "wants [-1, 4, 9, 8]", [&] {
    session.Run(Tensors{{"x", RandomTensor({1, 4, 9, 9}, 1)}});
  });
  ExpectError(ErrorCode::kInvalidArgument, "is int64, the model wants float32", [&] {
    session.Run(Tensors{{"x", TensorOf(DType::kInt64, {1}, Dims{1})}});
  });
  ExpectError(ErrorCode::kInvalidArgument, "0 threads",
              [&] { Session other(SmallNetwork(), {.threads = 0}); });
  EXPECT_NO_THROW(session.Run(ImagesOf(1))) << "after errors";
}

TEST(Session, NamesTheNodeThatFails) {
  GraphBuilder builder;
  builder.Input("x", Dims{2, -1})
      .Constant("w", RandomTensor({4, 3}, 1))
      .Add("MatMul", {"x", "w"}, {"y"})
      .Output("y");
  Session session(builder.graph());
  ExpectError(ErrorCode::kBadFile, "while running MatMul of 'y'", [&] {
    session.Run(Tensors{{"x", RandomTensor({2, 5}, 1)}});
  });
}

}  // namespace
}  // namespace espalier
