// Every operator of the table: its value against the runtime's, its gradient against central
// differences.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "espalier/runtime/session.h"
#include "tests/train/gradient_cases.h"
#include "tests/train/trainable_testing.h"
#include "train/op_table.h"
#include "train/trainable.h"

namespace espalier::train {

std::vector<GradientCase> GradientCases() {
  std::vector<GradientCase> all;
  for (const auto& part : {LayerCases(), PointwiseCases(), MoveCases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

namespace {

using Tensors = std::map<std::string, at::Tensor>;

class Values : public ::testing::TestWithParam<GradientCase> {};
class Gradients : public ::testing::TestWithParam<GradientCase> {};

std::vector<GradientCase> RuntimeCases() {
  std::vector<GradientCase> cases = GradientCases();
  const std::vector<GradientCase> steps = StepCases();
  cases.insert(cases.end(), steps.begin(), steps.end());
  std::erase_if(cases, [](const GradientCase& c) { return !c.in_runtime || c.training; });
  return cases;
}

Tensors RandomValues(const GradientCase& c) {
  at::manual_seed(11);
  Tensors values;
  for (const ValueInfo& input : c.graph.scopes[0].inputs) {
    const auto range = c.ranges.find(input.name);
    const auto [low, high] = range == c.ranges.end() ? std::pair(-1., 1.) : range->second;
    values[input.name] = at::rand(*input.dims, at::kDouble) * (high - low) + low;
  }
  return values;
}

TEST_P(Values, AreTheRuntimes) {
  const GradientCase& c = GetParam();
  const Tensors inputs = RandomValues(c);
  std::map<std::string, Tensor> stored;
  for (const auto& [name, value] : inputs) stored[name] = FromTorch(value, DType::kFloat32);
  Session session(c.graph, {.threads = 1, .tune = false});
  const auto want = session.Run(stored);
  Trainable network(c.graph);
  network.To(at::kCPU, at::kDouble);
  const auto got = network.Forward(inputs, /*training=*/false);
  for (const auto& [name, tensor] : want) {
    ASSERT_EQ(got.at(name).sizes().vec(), tensor.dims()) << name;
    EXPECT_LE(Difference(got.at(name), ToTorch(tensor)), 1e-5) << name;
  }
}

// A number that depends on every element of every output, each in another way.
at::Tensor Mixed(Trainable* network, const Tensors& inputs, bool training) {
  at::manual_seed(13);  // Dropout has to drop the same elements every time
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (const auto& [name, output] : network->Forward(inputs, training)) {
    if (!output.is_floating_point()) continue;
    const at::Tensor weights = at::arange(output.numel(), at::kDouble).mul(0.7).sin() + 1.3;
    sum = sum + (output.reshape({-1}) * weights).sum();
  }
  return sum;
}

TEST_P(Gradients, EqualsCentralDifferences) {
  const GradientCase& c = GetParam();
  Trainable network(c.graph);
  network.To(at::kCPU, at::kDouble);
  Tensors inputs = RandomValues(c);
  for (auto& [name, value] : inputs) value.set_requires_grad(true);
  Mixed(&network, inputs, c.training).backward();
  const at::NoGradGuard no_grad;
  constexpr double kStep = 1e-6;  // error of the difference: step^2 and 1e-16 / step
  for (auto& [name, value] : inputs) {
    ASSERT_TRUE(value.grad().defined()) << name;
    const at::Tensor gradient = value.grad().contiguous();
    auto* const element = value.data_ptr<double>();
    for (std::int64_t i = 0; i < value.numel(); ++i) {
      const double kept = element[i];
      element[i] = kept + kStep;
      const double above = Mixed(&network, inputs, c.training).item().toDouble();
      element[i] = kept - kStep;
      const double below = Mixed(&network, inputs, c.training).item().toDouble();
      element[i] = kept;
      const double want = (above - below) / (2 * kStep);
      EXPECT_NEAR(gradient.data_ptr<double>()[i], want, 1e-6 * std::max(1.0, std::abs(want)))
          << name << " element " << i;
    }
  }
}

std::string CaseName(const ::testing::TestParamInfo<GradientCase>& info) {
  std::string name = fmt::format("{}_{}_{}", info.param.op, info.param.what, info.index);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Op, Values, ::testing::ValuesIn(RuntimeCases()), CaseName);
INSTANTIATE_TEST_SUITE_P(Op, Gradients, ::testing::ValuesIn(GradientCases()), CaseName);

TEST(OpTable, HasACaseForEachOperator) {
  using Names = std::set<std::pair<std::string, std::string>>;
  Names gradients, values;
  for (const GradientCase& c : GradientCases()) gradients.emplace(c.domain, c.op);
  for (const GradientCase& c : StepCases()) values.emplace(c.domain, c.op);
  for (const OpEntry* op : AllOps()) {
    const Names& tested = op->differentiable ? gradients : values;
    EXPECT_TRUE(tested.contains({std::string(op->domain), std::string(op->op_type)}))
        << op->op_type << " has no case";
  }
}

}  // namespace
}  // namespace espalier::train
