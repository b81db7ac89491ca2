#include "runtime/pack_candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/base/dtype.h"
#include "espalier/base/isa.h"
#include "tests/runtime/runtime_testing.h"

namespace espalier {
namespace {

using runtime::HoldsExactly;
using runtime::PackCandidates;
using testing::ExpectClose;
using testing::FloatsOf;
using testing::GraphBuilder;
using testing::RandomTensor;
using testing::RunPlainly;
using testing::TensorOf;
using testing::Tensors;

bool Holds(PackedValue value, float weight) { return HoldsExactly(value, std::array{weight}); }

TEST(HoldsExactly, KnowsEveryNumberOf16Bits) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float half = HalfToFloat(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(Holds(PackedValue::kFloat16, half), std::isfinite(half)) << bits;
    const float brain = BFloat16ToFloat(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(Holds(PackedValue::kBFloat16, brain), std::isfinite(brain)) << bits;
    if (!std::isfinite(half)) continue;
    for (const float to : {-100000.0f, 100000.0f}) {
      ASSERT_FALSE(Holds(PackedValue::kFloat16, std::nextafter(half, to))) << bits;
    }
  }
  EXPECT_FALSE(Holds(PackedValue::kFloat16, 65536));
  EXPECT_FALSE(Holds(PackedValue::kBFloat16, std::numeric_limits<float>::infinity()));
  EXPECT_TRUE(Holds(PackedValue::kFloat32, std::numeric_limits<float>::quiet_NaN()));
}

// Weights of +-k / 64, which 16 bits hold.
Tensor CoarseWeights(const Dims& dims) {
  const Tensor fine = RandomTensor(dims, 3, 6);
  std::vector<float> values = FloatsOf(fine);
  for (float& value : values) value = std::round(value * 64) / 64;
  return TensorOf(DType::kFloat32, dims, values);
}

TEST(PackCandidates, TryHalvesWhereNothingIsLost) {
  const auto halves = [](const Tensor& weights) {
    const std::vector<float> values = FloatsOf(weights);
    const auto candidates = PackCandidates(values, 32, 48, 100, false);
    EXPECT_LE(candidates.size(), 12u);
    EXPECT_EQ(candidates.front().value, PackedValue::kFloat32);
    return std::ranges::count_if(
        candidates, [](const PackOptions& o) { return o.value == PackedValue::kFloat16; });
  };
  EXPECT_EQ(halves(RandomTensor({32, 48}, 1, 6)), 0);
  EXPECT_EQ(halves(CoarseWeights({32, 48})), 3);
}

Graph OneLayer(const Tensor& weights) {
  GraphBuilder builder;
  builder.Input("x", Dims{1, 48, 10, 10})
      .Constant("w", weights)
      .Add("Conv", {"x", "w"}, {"y"})
      .Output("y");
  return builder.graph();
}

TEST(PackCandidates, AChoiceOfHalvesNeverChangesAWeight) {
  const Tensors inputs = {{"x", RandomTensor({1, 48, 10, 10}, 2)}};
  SessionOptions options{.tune = false};
  options.choices = {{"y", ActiveIsa(), "unstructured f16 40x48"}};
  for (const bool coarse : {false, true}) {
    const Dims dims = {32, 48, 1, 1};
    const Graph graph = OneLayer(coarse ? CoarseWeights(dims) : RandomTensor(dims, 1, 6));
    Session session(graph, options);
    ExpectClose(session.Run(inputs), RunPlainly(graph, inputs), 1e-6);
    const std::string kernel = session.Steps().front().choice;
    EXPECT_EQ(kernel == "unstructured f16 40x48", coarse) << kernel;
  }
}

}  // namespace
}  // namespace espalier
