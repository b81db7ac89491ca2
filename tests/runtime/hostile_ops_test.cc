// Attributes and elements at the edges, as a fuzzer found them: an Error or a result, under
// sanitizers no report.
#include <limits>

#include "espalier/base/error.h"
#include "tests/runtime/runtime_testing.h"

namespace espalier {
namespace {

using testing::Attributes;
using testing::FloatVector;
using testing::GraphBuilder;
using testing::IntVector;
using testing::Tensors;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Runs one node on constants and on inputs; true if it gave a result both times, the same.
bool Runs(const std::string& op, const std::vector<Tensor>& inputs,
          const Attributes& attributes = {}, int outputs = 1, std::int64_t opset = 18) {
  std::vector<Tensors> results;
  for (const bool constant : {true, false}) {
    GraphBuilder builder;
    builder.graph().opsets = {{"", opset}};
    Tensors given;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      names.push_back(fmt::format("x{}", i));
      if (constant) {
        builder.Constant(names.back(), inputs[i]);
        continue;
      }
      builder.Input(names.back(), inputs[i].dims());
      builder.graph().scopes[0].inputs.back().dtype = inputs[i].dtype();
      given.emplace(names.back(), inputs[i]);
    }
    std::vector<std::string> made;
    for (int i = 0; i < outputs; ++i) {
      made.push_back(fmt::format("y{}", i));
      builder.Output(made.back());
    }
    builder.Add(op, names, made, attributes);
    try {
      SessionOptions options;
      options.tune = false;
      options.memory_limit = 64 << 20;
      Session session(builder.graph(), options);
      results.push_back(session.Run(given));
    } catch (const Error&) {
    }
  }
  if (results.size() != 2) return false;
  for (const auto& [name, tensor] : results[0]) {
    EXPECT_TRUE(std::ranges::equal(tensor.bytes(), results[1].at(name).bytes())) << name;
  }
  return true;
}

TEST(HostileOps, InfiniteElementsAreQuantized) {
  for (const float bad : {-kInfinity, kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_TRUE(Runs("DynamicQuantizeLinear", {FloatVector({bad, 1, -2})}, {}, 3));
  }
}

TEST(HostileOps, AxesOfAReversalDoNotOverflow) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  const Tensor x = testing::RandomTensor({2, 3}, 1);
  EXPECT_FALSE(Runs("ReverseSequence", {x, IntVector({1, 2, 3})},
                    {{"batch_axis", kMost}, {"time_axis", std::int64_t{5}}}));
  EXPECT_TRUE(Runs("ReverseSequence", {x, IntVector({1, 2})},
                   {{"batch_axis", std::int64_t{0}}, {"time_axis", std::int64_t{1}}}));
}

TEST(HostileOps, OutputShapesOfATransposedConvolutionDoNotOverflow) {
  const Tensor x = testing::RandomTensor({1, 1, 3, 3}, 1);
  const Tensor w = testing::RandomTensor({1, 2, 3, 3}, 2);
  for (const std::int64_t size : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
                                  std::numeric_limits<std::int64_t>::max()}) {
    const std::vector<std::int64_t> shape = {size, size};
    EXPECT_FALSE(Runs("ConvTranspose", {x, w},
                      {{"strides", std::vector<std::int64_t>{3, 2}}, {"output_shape", shape}}));
  }
}

TEST(HostileOps, GroupsOfAConvolutionDoNotOverflow) {
  const Tensor x = testing::RandomTensor({1, 4, 3, 3}, 1);
  const Tensor w = testing::RandomTensor({4, 4, 3, 3}, 2);
  for (const char* op : {"Conv", "ConvTranspose"}) {
    for (const std::int64_t group : {std::int64_t{1} << 62, std::int64_t{0}, std::int64_t{3}}) {
      EXPECT_FALSE(Runs(op, {x, w}, {{"group", group}})) << op << group;
    }
  }
}

}  // namespace
}  // namespace espalier
