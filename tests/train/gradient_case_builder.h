#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/graph/graph_builder.h"
#include "tests/train/gradient_cases.h"

// Short names for tables of cases.
namespace espalier::train {

struct CaseArg {
  std::optional<Dims> dims;  // a float input of the graph
  std::pair<double, double> range = {-1, 1};
  std::optional<Tensor> constant;  // neither: left out
};

inline CaseArg X(Dims dims, double low = -1, double high = 1) {
  return {std::move(dims), {low, high}, std::nullopt};
}
inline CaseArg I(const Dims& values) { return {std::nullopt, {}, testing::IntVector(values)}; }
inline CaseArg S(std::int64_t value) { return {std::nullopt, {}, testing::IntScalar(value)}; }
inline CaseArg F(const std::vector<float>& values) {
  return {std::nullopt, {}, testing::FloatVector(values)};
}
inline CaseArg Scalar(float value) {
  return {std::nullopt, {}, testing::TensorOf(DType::kFloat32, {}, std::vector<float>{value})};
}
inline CaseArg Ints(Dims dims, const std::vector<std::int64_t>& values) {
  return {std::nullopt, {}, testing::TensorOf(DType::kInt64, std::move(dims), values)};
}
inline CaseArg Bools(Dims dims, const std::vector<std::uint8_t>& values) {
  return {std::nullopt, {}, testing::TensorOf(DType::kBool, std::move(dims), values)};
}
inline CaseArg None() { return {}; }

struct CaseOptions {
  std::int64_t opset = 18;
  int outputs = 1;
  bool training = false;
  bool in_runtime = true;
  std::string domain = "";
};

inline GradientCase Case(const std::string& op, const std::string& what,
                         const std::vector<CaseArg>& args,
                         const testing::Attributes& attributes = {},
                         const CaseOptions& options = {}) {
  GradientCase result{op, what, {}, {}, options.training, options.in_runtime, options.domain};
  testing::GraphBuilder builder;
  std::vector<std::string> inputs, outputs;
  for (const CaseArg& arg : args) {
    const std::string name = fmt::format("x{}", inputs.size());
    inputs.push_back(arg.dims || arg.constant ? name : "");
    if (arg.dims) builder.Input(name, *arg.dims);
    if (arg.dims) result.ranges[name] = arg.range;
    if (arg.constant) builder.Constant(name, *arg.constant);
  }
  for (int i = 0; i < options.outputs; ++i) {
    outputs.push_back(fmt::format("y{}", i));
    builder.Output(outputs.back());
  }
  builder.Add(options.domain.empty() ? op : options.domain + ":" + op, inputs, outputs, attributes);
  result.graph = builder.graph();
  result.graph.opsets[""] = options.opset;
  if (!options.domain.empty()) result.graph.opsets[options.domain] = 1;
  return result;
}

}  // namespace espalier::train
