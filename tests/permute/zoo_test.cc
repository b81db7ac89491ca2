#include "tests/permute/zoo.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "espalier/base/random.h"
#include "espalier/runtime/session.h"
#include "gtest/gtest.h"
#include "tests/graph/graph_builder.h"

namespace espalier::testing {
namespace {

using Tensors = std::map<std::string, Tensor>;

// An axis that a layer sums over, of a constant of the graph.
struct ReadAxis {
  int constant = -1;
  std::size_t axis = 0;
  std::string reader;
};

// The numbers of all outputs, one behind the other.
std::vector<double> OutputsOf(const Graph& graph, const Tensors& inputs) {
  Session session(graph, {.tune = false});
  std::vector<double> all;
  for (const auto& [name, tensor] : session.Run(inputs)) {
    const std::vector<double> values = tensor.AsDoubles();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// Uniform in [-1, 1).
Tensors InputsFor(const Graph& graph) {
  Tensors inputs;
  for (const ValueInfo& input : graph.scopes[0].inputs) {
    std::vector<float> values(static_cast<std::size_t>(std::accumulate(
        input.dims->begin(), input.dims->end(), std::int64_t{1}, std::multiplies<>())));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(RandomAt(SeedFor(5, input.name), i) >> 40) * 0x1p-23F - 1;
    }
    inputs.emplace(input.name, TensorOf(DType::kFloat32, *input.dims, values));
  }
  return inputs;
}

double Deviation(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

double LargestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// What an operator's weight is: which input, and which of its axes, from the end if negative.
struct WeightPlace {
  std::size_t input = 1;
  int axis = 0;
};

std::vector<WeightPlace> WeightPlaces(const Node& node) {
  if (node.op_type == "Conv") return {{1, 1}};
  if (node.op_type == "ConvTranspose") return {{1, 0}};
  if (node.op_type == "LSTM" || node.op_type == "GRU") return {{1, 2}};
  if (node.op_type == "MatMul") return {{0, -1}, {1, -2}};
  if (node.op_type == "Gemm") return {{1, IntAttribute(node, "transB", 0) == 1 ? 1 : 0}};
  return {};
}

// The constant behind a value: itself, or what DequantizeLinear or Transpose make it from.
int ConstantBehind(const Graph& graph, const ConstantIndex& index, int scope,
                   const std::string& value, int* axis) {
  const int constant = index.Find(scope, value);
  if (constant >= 0) return constant;
  for (const Node& node : graph.scopes[scope].nodes) {
    if (node.outputs.empty() || node.outputs[0] != value) continue;
    if (node.op_type == "DequantizeLinear") return index.Find(scope, node.inputs[0]);
    if (node.op_type == "Transpose") {  // Of two axes.
      *axis = *axis < 0 ? -3 - *axis : 1 - *axis;
      return index.Find(scope, node.inputs[0]);
    }
  }
  return -1;
}

std::vector<ReadAxis> ReadAxes(const Graph& graph) {
  const ConstantIndex index(graph);
  std::vector<ReadAxis> axes;
  std::set<std::pair<int, int>> seen;
  for (int scope = 0; scope < static_cast<int>(graph.scopes.size()); ++scope) {
    for (const Node& node : graph.scopes[scope].nodes) {
      for (auto [input, axis] : WeightPlaces(node)) {
        const int constant = ConstantBehind(graph, index, scope, node.inputs[input], &axis);
        if (constant < 0) continue;
        const auto rank = static_cast<int>(graph.constants[constant].tensor.dims().size());
        if (axis < 0) axis += rank;
        const std::int64_t length = graph.constants[constant].tensor.dims()[axis];
        if (length == 1 || !seen.insert({constant, axis}).second) continue;
        axes.push_back({constant, static_cast<std::size_t>(axis), NodeText(node)});
      }
    }
  }
  return axes;
}

// Swaps two indices along an axis of a constant.
Graph Swapped(Graph graph, const ReadAxis& read, std::int64_t one, std::int64_t other) {
  Tensor& tensor = graph.constants[read.constant].tensor;
  const Dims& dims = tensor.dims();
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < read.axis; ++i) outer *= dims[i];
  for (std::size_t i = read.axis + 1; i < dims.size(); ++i) inner *= dims[i];
  const std::span<std::byte> bytes = tensor.MutableBytes();
  const std::int64_t run = inner * (static_cast<std::int64_t>(bytes.size()) /
                                    std::max<std::int64_t>(tensor.elements(), 1));
  for (std::int64_t i = 0; i < outer; ++i) {
    std::byte* const slab = bytes.data() + i * dims[read.axis] * run;
    std::swap_ranges(slab + one * run, slab + (one + 1) * run, slab + other * run);
  }
  return graph;
}

TEST(Zoo, NamesAreDistinctAndApexCasesAreThere) {
  std::set<std::string> names;
  int apex = 0;
  for (const ZooGraph& zoo : MakeZoo()) {
    EXPECT_TRUE(names.insert(zoo.name).second) << zoo.name;
    EXPECT_TRUE(zoo.moves || !zoo.reason.empty()) << zoo.name << ": held for no reason";
    apex += zoo.name.starts_with("apex_") ? 1 : 0;
  }
  EXPECT_GE(names.size(), 130U);
  EXPECT_EQ(apex, 8);
}

TEST(Zoo, RunsAndTheOutputsVary) {
  for (const ZooGraph& zoo : MakeZoo()) {
    SCOPED_TRACE(zoo.name);
    try {
      const std::vector<double> out = OutputsOf(zoo.graph, InputsFor(zoo.graph));
      for (const double value : out) ASSERT_TRUE(std::isfinite(value));
      EXPECT_GT(Deviation(out), 0.05);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

// A wrong order of any layer's input channels must be seen in the output: rounding is near 1e-6 of
// the deviation, a swap gives 1000 times as much at the least.
TEST(Zoo, EverySwapOfTwoInputChannelsShows) {
  for (const ZooGraph& zoo : MakeZoo()) {
    const Tensors inputs = InputsFor(zoo.graph);
    const std::vector<double> want = OutputsOf(zoo.graph, inputs);
    const std::vector<ReadAxis> axes = ReadAxes(zoo.graph);
    EXPECT_GE(axes.size(), 2U) << zoo.name;
    for (const ReadAxis& read : axes) {
      const std::int64_t length = zoo.graph.constants[read.constant].tensor.dims()[read.axis];
      for (const auto& [one, other] :
           {std::pair(std::int64_t{0}, std::int64_t{1}), std::pair(std::int64_t{0}, length - 1)}) {
        const auto got = OutputsOf(Swapped(zoo.graph, read, one, other), inputs);
        EXPECT_GT(LargestDifference(got, want), 1e-3 * Deviation(want))
            << zoo.name << ", " << read.reader << ": " << one << " and " << other;
      }
    }
  }
}

// Shapes, axes and indices, and the factors of Resize.
bool IsForShapes(const Graph& graph, const Constant& constant) {
  if (constant.tensor.dtype() == DType::kInt64) return true;
  for (const Node& node : graph.scopes[0].nodes) {
    if (node.op_type != "Resize") continue;
    if (std::find(node.inputs.begin(), node.inputs.end(), constant.name) != node.inputs.end()) {
      return true;
    }
  }
  return false;
}

// The same for all that is stored for channels or pixels: biases, scales, slopes, masks. Two of
// them may be alike by chance, so that the change is smaller, but still 100 times the rounding.
TEST(Zoo, EverySwapInAConstantShows) {
  for (const ZooGraph& zoo : MakeZoo()) {
    const Tensors inputs = InputsFor(zoo.graph);
    const std::vector<double> want = OutputsOf(zoo.graph, inputs);
    for (int i = 0; i < static_cast<int>(zoo.graph.constants.size()); ++i) {
      const Constant& constant = zoo.graph.constants[i];
      if (IsForShapes(zoo.graph, constant)) continue;
      for (std::size_t axis = 0; axis < constant.tensor.dims().size(); ++axis) {
        const std::int64_t length = constant.tensor.dims()[axis];
        if (length == 1) continue;
        const auto got = OutputsOf(Swapped(zoo.graph, {i, axis, ""}, 0, length - 1), inputs);
        ASSERT_EQ(got.size(), want.size()) << zoo.name << ", " << constant.name;
        EXPECT_GT(LargestDifference(got, want), 1e-4 * Deviation(want))
            << zoo.name << ", " << constant.name << ", axis " << axis;
      }
    }
  }
}

}  // namespace
}  // namespace espalier::testing
