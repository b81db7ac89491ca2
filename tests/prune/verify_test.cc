#include "espalier/prune/verify.h"

#include <gtest/gtest.h>

#include "espalier/base/error.h"
#include "espalier/pattern/registry.h"
#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

VerifyReport VerifyWith(const WeightStore& store, const std::string& pattern,
                        const VerifyOptions& options = {}) {
  return Verify(store, *PatternRegistry::BuiltIn().Make(pattern), options);
}

std::vector<float> TwoOfFour(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = i % 4 < 2 ? 1.0f : -0.0f;
  return values;
}

TEST(Verify, NamesTheFirstBadGroupOfAConvolution) {
  const std::int64_t channels = 8, kernel = 6;
  std::vector<float> values(4 * channels * kernel, 0.0f);                     // [4, 8, 2, 3]
  for (const int c : {4, 5, 7}) values[(2 * channels + c) * kernel + 5] = 1;  // k 2, r 1, s 2
  values[(3 * channels + 0) * kernel] = 1;
  MemoryWeights store;
  store.Add("conv", {4, 8, 2, 3}, values);
  const VerifyReport report = VerifyWith(store, "2:4");
  EXPECT_FALSE(report.holds);
  const auto& place = report.layers[0].first_violation;
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->k, 2);
  EXPECT_EQ(place->c, 4);
  EXPECT_FALSE(place->d.has_value());
  EXPECT_EQ(place->r, 1);
  EXPECT_EQ(place->s, 2);
  EXPECT_EQ(place->nonzeros, 3);
}

TEST(Verify, FindsGroupsInLaterChunksAndInThreeDimensionalKernels) {
  std::vector<float> values(40000 * 8, 0.0f);
  for (int c = 0; c < 3; ++c) values[39999 * 8 + 4 + c] = 1;
  MemoryWeights store;
  store.Add("long", {40000, 8}, values);
  std::vector<float> cube(2 * 4 * 24, 0.0f);  // [2, 4, 2, 3, 4]
  for (int c = 0; c < 4; ++c) cube[(1 * 4 + c) * 24 + 1 * 12 + 2 * 4 + 3] = 1;
  store.Add("cube", {2, 4, 2, 3, 4}, cube);
  const VerifyReport report = VerifyWith(store, "2:4");
  EXPECT_EQ(report.layers[0].first_violation->k, 39999);
  EXPECT_EQ(report.layers[0].first_violation->c, 4);
  const auto& place = report.layers[1].first_violation;
  EXPECT_EQ(place->k, 1);
  EXPECT_EQ(place->d, 1);
  EXPECT_EQ(place->r, 2);
  EXPECT_EQ(place->s, 3);
  EXPECT_EQ(place->nonzeros, 4);
}

TEST(Verify, MinusZeroIsZero) {
  MemoryWeights store;
  store.Add("w", {4, 8}, TwoOfFour(32));
  EXPECT_TRUE(VerifyWith(store, "2:4").holds);
  EXPECT_FALSE(VerifyWith(store, "1:4").holds);
}

TEST(Verify, RankedPatternsCountWholeUnits) {
  MemoryWeights store;
  store.Add("w", {2, 4}, {0, 0, 1, 2, 0, 0, 0, 3});  // 2x2 blocks: one zero, one not
  VerifyOptions options;
  EXPECT_TRUE(VerifyWith(store, "block:2x2").holds);
  options.sparsity = 0.5;
  EXPECT_TRUE(VerifyWith(store, "block:2x2", options).holds);
  options.sparsity = 0.8;
  const VerifyReport report = VerifyWith(store, "block:2x2", options);
  EXPECT_FALSE(report.holds);
  EXPECT_EQ(report.layers[0].reason, "1 of 2 units are zero, 2 are needed");
  EXPECT_FALSE(VerifyWith(store, "channel").holds);
  options.sparsity = 0.625;
  EXPECT_TRUE(VerifyWith(store, "unstructured", options).holds);
}

TEST(Verify, GlobalScopeAndRatiosCountAsPruneDoes) {
  MemoryWeights store;
  store.Add("sparse", {1, 4}, {0, 0, 0, 1});
  store.Add("dense", {1, 4}, {1, 0, 2, 3});
  VerifyOptions options;
  options.sparsity = 0.5;
  EXPECT_FALSE(VerifyWith(store, "unstructured", options).holds);
  options.scope = RankScope::kGlobal;
  EXPECT_TRUE(VerifyWith(store, "unstructured", options).holds);
  options.sparsity = 0.75;
  const VerifyReport report = VerifyWith(store, "unstructured", options);
  EXPECT_FALSE(report.holds);
  EXPECT_EQ(report.reason, "over all checked layers, 4 of 8 units are zero, 6 are needed");
  options = {};
  options.ratios = {{"sparse", 0.75}, {"dense", 0.25}};
  EXPECT_TRUE(VerifyWith(store, "unstructured", options).holds);
  options.ratios = {{"dense", 0.5}};
  EXPECT_FALSE(VerifyWith(store, "unstructured", options).holds);
  options.ratios = {{"nowhere", 0.5}};
  EXPECT_THROW(VerifyWith(store, "unstructured", options), Error);
}

TEST(Verify, NothingCheckedDoesNotHold) {
  MemoryWeights store;
  store.Add("w", {4, 8}, TwoOfFour(32));
  VerifyOptions options;
  options.alignment = Alignment::kTensorRt;
  const VerifyReport report = VerifyWith(store, "2:4", options);
  EXPECT_FALSE(report.holds);
  EXPECT_FALSE(report.warnings.empty());
}

TEST(Verify, RefusesARatioForAPatternThatHasOne) {
  MemoryWeights store;
  VerifyOptions options;
  options.sparsity = 0.5;
  EXPECT_THROW(VerifyWith(store, "2:4", options), Error);
  options.sparsity = 1.5;
  EXPECT_THROW(VerifyWith(store, "unstructured", options), Error);
}

TensorRtVerdict VerdictOn(Layer layer, const std::vector<float>& values) {
  MemoryWeights store;
  store.Add(std::move(layer), BytesOf(values));
  return VerifyWith(store, "2:4").layers[0].tensorrt;
}

TEST(TensorRtVerdict, GivesTheReason) {
  const auto linear = [](std::int64_t k, std::int64_t c) {
    return LayerOfTensor("w", DType::kFloat32, {k, c});
  };
  EXPECT_EQ(VerdictOn(linear(8, 6), TwoOfFour(48)).reason, "C = 6 is not a multiple of 4");
  EXPECT_EQ(VerdictOn(linear(8, 16), NormalValues(128, 1)).reason,
            "not 2:4 along the input channels");

  std::vector<float> transposed(8 * 16);
  for (int i = 0; i < 128; ++i) transposed[i] = (i / 16) % 4 < 2 ? 1.0f : 0.0f;
  EXPECT_EQ(VerdictOn(linear(8, 16), transposed).reason,
            "2:4 along output channels, not along the input channels");

  const Layer conv = LayerOfTensor("w", DType::kFloat32, {8, 4, 2, 2});
  EXPECT_EQ(VerdictOn(conv, TwoOfFour(128)).reason,
            "2:4 along the flattened C x R x S, not along the input channels");

  Layer grouped = linear(8, 16);
  grouped.kind = LayerKind::kConv;
  grouped.view = {{{2, 64}}, {4, 16}, {16, 1}, {}};
  EXPECT_EQ(VerdictOn(grouped, TwoOfFour(128)).reason,
            "grouped convolutions have no sparse kernels");

  Layer recurrent = linear(8, 16);
  recurrent.kind = LayerKind::kRecurrent;
  EXPECT_FALSE(VerdictOn(recurrent, TwoOfFour(128)).eligible);

  const TensorRtVerdict small = VerdictOn(linear(8, 16), TwoOfFour(128));
  EXPECT_TRUE(small.eligible);
  EXPECT_EQ(small.reason, "small: K=8, C*R*S=16");
  const TensorRtVerdict good = VerdictOn(linear(256, 256), TwoOfFour(65536));
  EXPECT_TRUE(good.eligible);
  EXPECT_EQ(good.reason, "");
  EXPECT_NE(VerdictOn(linear(256, 260), TwoOfFour(66560)).reason.find("C=260"), std::string::npos);
}

TEST(TensorRtVerdict, IntegerWeightsNeedZeroPointZero) {
  Layer layer = LayerOfTensor("w", DType::kInt8, {8, 16});
  layer.quantization = Quantization{Quantization::Along::kTensor, {0.1f}, {3}};
  MemoryWeights store;
  store.Add(layer, std::vector<std::byte>(128, std::byte{3}));
  layer.dtype = DType::kUint8;
  store.Add(layer, std::vector<std::byte>(128, std::byte{3}));
  Layer fake = LayerOfTensor("f", DType::kFloat32, {8, 16});
  fake.fake_quantization = layer.quantization;
  store.Add(fake, BytesOf(TwoOfFour(128)));
  const VerifyReport report = VerifyWith(store, "2:4");
  EXPECT_TRUE(report.holds);  // all at the zero point
  EXPECT_EQ(report.layers[0].tensorrt.reason, "int8 weights need zero point 0");
  EXPECT_EQ(report.layers[1].tensorrt.reason, "weights have to be int8, not uint8");
  EXPECT_EQ(report.layers[2].tensorrt.reason, "int8 weights need zero point 0");
}

}  // namespace
}  // namespace espalier
