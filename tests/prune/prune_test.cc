#include "espalier/prune/prune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "espalier/base/error.h"
#include "espalier/base/isa.h"
#include "espalier/pattern/registry.h"
#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

PruneReport PruneWith(WeightStore& store, const std::string& pattern, const PruneOptions& options,
                      const std::string& criterion = "magnitude") {
  return Prune(store, *PatternRegistry::BuiltIn().Make(pattern),
               *CriterionRegistry::BuiltIn().Make(criterion, 3), options);
}

PruneOptions AtSparsity(double sparsity) {
  PruneOptions options;
  options.sparsity = sparsity;
  return options;
}

std::string WhyRefused(const std::string& pattern, const PruneOptions& options) {
  MemoryWeights store;
  store.Add("w", {4, 4}, NormalValues(16, 1));
  try {
    PruneWith(store, pattern, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

std::int64_t CountZeros(const std::vector<float>& values) {
  return std::ranges::count(values, 0.0f);
}

TEST(Prune, NmKeepsTheLargestOfEachGroupAtEachKernelPosition) {
  const Dims shape = {3, 10, 2, 3};  // K, C, R, S: two full groups and a tail of 2
  const auto before = NormalValues(180, 5);
  MemoryWeights store;
  store.Add("conv", shape, before);
  const PruneReport report = PruneWith(store, "2:4", {});
  const auto after = store.Values(0);
  std::int64_t zeros = 0;
  for (int k = 0; k < 3; ++k) {
    for (int position = 0; position < 6; ++position) {
      for (int c = 0; c < 10; c += 4) {
        std::vector<std::pair<float, int>> group;  // -|w| sorts the largest first
        for (int i = c; i < std::min(c + 4, 10); ++i) {
          const int at = (k * 10 + i) * 6 + position;
          group.emplace_back(-std::fabs(before[at]), at);
        }
        std::ranges::sort(group);
        for (std::size_t rank = 0; rank < group.size(); ++rank) {
          const int at = group[rank].second;
          EXPECT_EQ(after[at], rank < 2 ? before[at] : 0.0f);
          zeros += rank >= 2;
        }
      }
    }
  }
  EXPECT_EQ(report.layers[0].dropped, static_cast<std::uint64_t>(zeros));
  EXPECT_EQ(report.layers[0].zeros, static_cast<std::uint64_t>(zeros));
}

TEST(Prune, UnstructuredDropsExactlyKAndKeepsLowerIndicesOfTies) {
  for (const double sparsity : {0.0, 0.1, 0.5, 0.749, 0.999}) {
    std::vector<float> before(1000);
    for (int i = 0; i < 1000; ++i) before[i] = static_cast<float>(1 + i % 3) * (i % 2 ? -1.f : 1.f);
    MemoryWeights store;
    store.Add("w", {10, 100}, before);
    const PruneReport report = PruneWith(store, "unstructured", AtSparsity(sparsity));
    const auto k = std::llround(sparsity * 1000);
    EXPECT_EQ(report.layers[0].dropped, static_cast<std::uint64_t>(k));
    // Oracle: a stable sort by falling magnitude; the last k go.
    std::vector<int> order(1000);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(
        order, [&before](int a, int b) { return std::fabs(before[a]) > std::fabs(before[b]); });
    const auto after = store.Values(0);
    for (int rank = 0; rank < 1000; ++rank) {
      const int at = order[rank];
      EXPECT_EQ(after[at], rank < 1000 - k ? before[at] : 0.0f) << "index " << at;
    }
  }
}

TEST(Prune, BlocksGoWholeAndExactlyKOfThem) {
  const auto before = NormalValues(6 * 9, 2);
  MemoryWeights store;
  store.Add("w", {6, 9}, before);
  PruneWith(store, "block:4x2", AtSparsity(0.5));  // 2 bands x 5 tiles, 5 go
  const auto after = store.Values(0);
  std::vector<std::pair<double, int>> tiles;  // sum of |w|, index
  for (int tile = 0; tile < 10; ++tile) {
    double sum = 0;
    for (int r = tile / 5 * 4; r < std::min(tile / 5 * 4 + 4, 6); ++r) {
      for (int c = tile % 5 * 2; c < std::min(tile % 5 * 2 + 2, 9); ++c) {
        sum += std::fabs(before[r * 9 + c]);
      }
    }
    tiles.emplace_back(sum, tile);
  }
  std::ranges::sort(tiles);
  for (int rank = 0; rank < 10; ++rank) {
    const int tile = tiles[rank].second;
    for (int r = tile / 5 * 4; r < std::min(tile / 5 * 4 + 4, 6); ++r) {
      for (int c = tile % 5 * 2; c < std::min(tile % 5 * 2 + 2, 9); ++c) {
        EXPECT_EQ(after[r * 9 + c], rank < 5 ? 0.0f : before[r * 9 + c]);
      }
    }
  }
}

TEST(Prune, GlobalScopeMeetsTheRatioOverAllLayers) {
  auto large = NormalValues(1000, 3);
  for (float& value : large) value *= 10;
  MemoryWeights store;
  store.Add("small", {10, 100}, NormalValues(1000, 4));
  store.Add("large", {10, 100}, large);
  PruneOptions options = AtSparsity(0.4);
  options.scope = RankScope::kGlobal;
  options.threads = 2;
  const PruneReport report = PruneWith(store, "unstructured", options);
  EXPECT_EQ(CountZeros(store.Values(0)) + CountZeros(store.Values(1)), 800);
  EXPECT_GT(report.layers[0].Sparsity(), 0.6);
  EXPECT_LT(report.layers[1].Sparsity(), 0.2);
  EXPECT_DOUBLE_EQ(report.Sparsity(), 0.4);
}

TEST(Prune, NormalizedScopeTreatsAScaledCopyLikeItsOriginal) {
  const auto values = NormalValues(1000, 4);
  auto scaled = values;
  for (float& value : scaled) value *= 1024;  // a power of two: the division is exact
  MemoryWeights store;
  store.Add("small", {10, 100}, values);
  store.Add("large", {10, 100}, scaled);
  PruneOptions options = AtSparsity(0.5);
  options.scope = RankScope::kGlobalNormalized;
  const PruneReport report = PruneWith(store, "unstructured", options);
  EXPECT_EQ(report.layers[0].dropped, 500u);
  EXPECT_EQ(report.layers[1].dropped, 500u);
}

TEST(Prune, LimitsHoldAndAreReported) {
  std::vector<float> tiny(400, 1e-6f);
  MemoryWeights store;
  store.Add("tiny", {4, 100}, tiny);
  store.Add("usual", {4, 100}, NormalValues(400, 8));
  PruneOptions options = AtSparsity(0.75);
  options.scope = RankScope::kGlobal;
  options.max_layer_sparsity = 0.8;
  const PruneReport capped = PruneWith(store, "unstructured", options);
  EXPECT_EQ(capped.layers[0].dropped, 320u);
  EXPECT_EQ(capped.layers[0].limit, Limit::kMaxLayerSparsity);
  EXPECT_EQ(capped.layers[1].dropped, 280u);
  EXPECT_EQ(capped.layers[1].limit, Limit::kNone);

  MemoryWeights again;
  again.Add("tiny", {4, 100}, tiny);
  again.Add("usual", {4, 100}, NormalValues(400, 8));
  options.max_layer_sparsity = 1.0;
  options.min_weights_per_channel = 2.0;
  const PruneReport floored = PruneWith(again, "unstructured", options);
  EXPECT_EQ(floored.layers[0].dropped, 392u);  // 4 channels keep 8
  EXPECT_EQ(floored.layers[0].limit, Limit::kFloor);
  EXPECT_EQ(floored.layers[0].dropped + floored.layers[1].dropped, 600u);
}

TEST(Prune, LimitsThatLeaveTooLittleAreReportedForEveryLayer) {
  MemoryWeights store;
  for (const unsigned seed : {1u, 2u, 3u}) {
    store.Add(std::string(seed, 'w'), {4, 100}, NormalValues(400, seed));
  }
  PruneOptions options = AtSparsity(0.9);
  options.scope = RankScope::kGlobal;
  options.max_layer_sparsity = 0.5;
  const PruneReport report = PruneWith(store, "unstructured", options);
  for (const LayerPruneReport& layer : report.layers) {
    EXPECT_EQ(layer.dropped, 200u);
    EXPECT_EQ(layer.limit, Limit::kMaxLayerSparsity);
  }
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_EQ(report.warnings[0],
            "the limits of the layers let only 600 of the wanted 1080 units go");
}

TEST(Prune, NoLayerLosesItsLastUnitAndLimitsHoldInLayerScopeToo) {
  MemoryWeights store;
  store.Add("w", {4, 4}, NormalValues(16, 1));
  const PruneReport report = PruneWith(store, "channel", AtSparsity(0.9));
  EXPECT_EQ(report.layers[0].dropped, 12u);
  EXPECT_EQ(report.layers[0].limit, Limit::kFloor);
  EXPECT_EQ(report.layers[0].reason, "held at the floor of one unit");
  MemoryWeights again;
  again.Add("w", {4, 100}, NormalValues(400, 1));
  PruneOptions options = AtSparsity(0.9);
  options.min_weights_per_channel = 20;
  EXPECT_EQ(PruneWith(again, "unstructured", options).layers[0].dropped, 320u);
}

TEST(Prune, PatternsThatSpanRowsNeedTheFilesOrderOfRows) {
  Layer layer = LayerOfTensor("w", DType::kFloat32, {8, 16});
  layer.output_run = 6;
  for (const char* pattern : {"2:4-transposable", "2:4"}) {
    MemoryWeights store;
    store.Add(layer, BytesOf(NormalValues(128, 1)));
    const bool spans = std::string(pattern) != "2:4";
    EXPECT_EQ(PruneWith(store, pattern, {}).layers[0].pruned, !spans) << pattern;
  }
}

TEST(Prune, RefusesScoresThatAreNotFiniteOrNegative) {
  class Bad final : public Criterion {
   public:
    std::string Name() const override { return "bad"; }
    void Score(const ScoreInput&, std::span<float> scores) const override {
      std::ranges::fill(scores, -1.0f);
    }
  };
  for (const char* pattern : {"2:4", "channel"}) {
    MemoryWeights store;
    store.Add("w", {4, 4}, NormalValues(16, 1));
    PruneOptions options;
    if (std::string(pattern) == "channel") options.sparsity = 0.5;
    try {
      Prune(store, *PatternRegistry::BuiltIn().Make(pattern), Bad(), options);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("'bad' scores a weight of layer 'w' with -1"),
                std::string::npos);
    }
  }
}

TEST(Prune, ThresholdDropsWhatIsBelowIt) {
  MemoryWeights store;
  store.Add("w", {2, 4}, {0.1f, -0.5f, 0.49999f, 2, -0.2f, 0.5f, 0.6f, 0});
  PruneOptions options;
  options.threshold = 0.5;
  EXPECT_EQ(PruneWith(store, "unstructured", options).layers[0].dropped, 4u);
  EXPECT_EQ(store.Values(0), (std::vector<float>{0, -0.5f, 0, 2, 0, 0.5f, 0.6f, 0}));
  options.threshold = 1e30;  // the floor keeps one weight a channel, on average
  const PruneReport report = PruneWith(store, "unstructured", options);
  EXPECT_EQ(report.layers[0].limit, Limit::kFloor);
  EXPECT_EQ(store.Values(0), (std::vector<float>{0, 0, 0, 2, 0, 0, 0.6f, 0}));
}

TEST(Prune, RatiosOfSingleLayersGoFirst) {
  MemoryWeights store;
  store.Add("a", {4, 25}, NormalValues(100, 1));
  store.Add("b", {4, 25}, NormalValues(100, 2));
  PruneOptions options = AtSparsity(0.5);
  options.ratios = {{"b", 0.9}};
  PruneReport report = PruneWith(store, "unstructured", options);
  EXPECT_EQ(report.layers[0].dropped, 50u);
  EXPECT_EQ(report.layers[1].dropped, 90u);
  options.sparsity.reset();
  report = PruneWith(store, "unstructured", options);
  EXPECT_FALSE(report.layers[0].pruned);
  EXPECT_EQ(report.layers[0].reason, "no ratio is given for it");
}

TEST(Prune, GivesTheSameBytesOnEveryIsaAndThreadCount) {
  const auto first = NormalValues(40 * 700, 1);
  const auto second = NormalValues(64 * 48 * 9, 2);
  for (const char* pattern : {"2:4", "3:7", "2:4-transposable", "block:4x4", "unstructured"}) {
    for (const char* criterion : {"magnitude", "magnitude:l2", "random"}) {
      std::vector<std::vector<std::byte>> results;
      for (const std::string& isa : AvailableIsas()) {
        for (const int threads : {1, 3}) {
          ForceIsa(isa);
          MemoryWeights store;
          store.Add("a", {40, 700}, first);
          store.Add("b", {64, 48, 3, 3}, second);
          PruneOptions options;
          options.threads = threads;
          const std::string spec = pattern;
          if (spec.starts_with("block") || spec.starts_with("unst")) {
            options.sparsity = 0.6;
            options.scope = RankScope::kGlobalNormalized;
          }
          const PruneReport report = PruneWith(store, pattern, options, criterion);
          std::vector<std::byte> all = store.Bytes(0);
          all.insert(all.end(), store.Bytes(1).begin(), store.Bytes(1).end());
          const double kept = report.KeptMagnitude();
          const auto* raw = reinterpret_cast<const std::byte*>(&kept);
          all.insert(all.end(), raw, raw + sizeof kept);
          results.push_back(std::move(all));
          EXPECT_EQ(results.back(), results.front()) << pattern << criterion << isa << threads;
        }
      }
    }
  }
  ForceIsa("");
}

TEST(Prune, SixteenBitWeightsGetTheMaskOfTheirFloatValues) {
  const auto values = NormalValues(64 * 66, 6);
  std::vector<std::byte> halves(values.size() * 2);
  std::vector<float> exact(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &values[i], 4);
    const auto half = static_cast<std::uint16_t>(bits >> 16);  // truncated to bfloat16: many ties
    std::memcpy(&halves[2 * i], &half, 2);
    exact[i] = BFloat16ToFloat(half);
  }
  for (const char* pattern : {"2:4", "4:16", "2:4-transposable"}) {
    MemoryWeights store;
    store.Add(LayerOfTensor("bf16", DType::kBFloat16, {64, 66}), halves);
    store.Add("f32", {64, 66}, exact);
    PruneWith(store, pattern, {});
    const auto want = store.Values(1);
    for (std::size_t i = 0; i < want.size(); ++i) {
      std::uint16_t half;
      std::memcpy(&half, &store.Bytes(0)[2 * i], 2);
      ASSERT_EQ(BFloat16ToFloat(half), want[i]) << pattern << " element " << i;
    }
  }
}

TEST(Prune, IntegerWeightsGoToTheirZeroPointAndCountWithTheirScale) {
  Layer layer = LayerOfTensor("w", DType::kUint8, {2, 4});
  layer.quantization = Quantization{Quantization::Along::kRow, {1.0f, 100.0f}, {128, 10}};
  std::vector<std::byte> bytes;
  for (const int value : {130, 100, 128, 127, 11, 9, 10, 30}) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  MemoryWeights store;
  store.Add(layer, bytes);
  PruneWith(store, "2:4", {});
  const auto as_ints = [&store] {
    std::vector<int> ints;
    for (const std::byte byte : store.Bytes(0)) ints.push_back(static_cast<int>(byte));
    return ints;
  };
  EXPECT_EQ(as_ints(), (std::vector<int>{130, 100, 128, 128, 11, 10, 10, 30}));
  // Over the layer the second row weighs a hundred times as much: its weights stay.
  PruneWith(store, "unstructured", AtSparsity(0.75));
  EXPECT_EQ(as_ints(), (std::vector<int>{128, 128, 128, 128, 11, 10, 10, 30}));
}

TEST(Prune, IntegerZerosAreThoseAtTheZeroPointWhateverTheScale) {
  Layer layer = LayerOfTensor("w", DType::kInt8, {1, 4});
  layer.quantization = Quantization{Quantization::Along::kTensor, {0.0f}, {0}};  // magnitudes 0
  MemoryWeights store;
  store.Add(layer, {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}});
  EXPECT_EQ(PruneWith(store, "2:4", {}).layers[0].zeros, 2u);
}

TEST(Prune, RefusesNanAndInfinityWithTheirPlace) {
  for (const char* pattern : {"2:4", "unstructured", "channel"}) {
    for (const float bad : {std::nanf(""), -std::numeric_limits<float>::infinity()}) {
      auto values = NormalValues(5 * 8 * 9, 1);
      values[(3 * 8 + 6) * 9 + 4] = bad;
      MemoryWeights store;
      store.Add("conv", {5, 8, 3, 3}, values);
      PruneOptions options;
      if (std::string(pattern) != "2:4") options.sparsity = 0.5;
      try {
        PruneWith(store, pattern, options);
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kBadFile);
        const std::string text = error.what();
        EXPECT_NE(text.find("'conv'"), std::string::npos) << text;
        EXPECT_NE(text.find("output channel 3, input channel 6, kernel position 4"),
                  std::string::npos)
            << text;
      }
    }
  }
}

TEST(Prune, RefusesOptionsThatDoNotFitThePattern) {
  PruneOptions options;
  EXPECT_NE(WhyRefused("unstructured", options).find("needs a sparsity"), std::string::npos);
  options.sparsity = 1.0;
  EXPECT_NE(WhyRefused("block:2x2", options).find("sparsity 1 "), std::string::npos);
  options.sparsity = 0.5;
  EXPECT_NE(WhyRefused("2:4", options).find("ratio built in"), std::string::npos);
  options.threshold = 0.1;
  EXPECT_NE(WhyRefused("unstructured", options).find("not both"), std::string::npos);
  options.threshold.reset();
  options.ratios = {{"nowhere", 0.5}};
  EXPECT_NE(WhyRefused("unstructured", options).find("'nowhere'"), std::string::npos);
  options.ratios = {{"w", -1}};
  EXPECT_NE(WhyRefused("unstructured", options).find("-1"), std::string::npos);
  options.ratios = {{"w", 0.5}};
  options.scope = RankScope::kGlobal;
  EXPECT_NE(WhyRefused("unstructured", options).find("layer scope"), std::string::npos);
  options.ratios.clear();
  options.max_layer_sparsity = 0;
  EXPECT_NE(WhyRefused("unstructured", options).find("max layer sparsity 0"), std::string::npos);
  options.max_layer_sparsity = 1;
  options.scope = RankScope::kLayer;
  options.min_weights_per_channel = -1;
  EXPECT_NE(WhyRefused("unstructured", options).find("-1"), std::string::npos);
}

TEST(Prune, LeavesMisalignedLayersWithTheReason) {
  MemoryWeights store;
  store.Add("seven rows", {7, 16}, NormalValues(112, 1));
  store.Add("twelve columns", {8, 12}, NormalValues(96, 1));
  store.Add("fits", {8, 16}, NormalValues(128, 1));
  PruneOptions options;
  options.alignment = Alignment::kTensorRt;
  const PruneReport report = PruneWith(store, "2:4", options);
  EXPECT_EQ(report.layers[0].reason, "K = 7 is not a multiple of 8");
  EXPECT_EQ(report.layers[1].reason, "C/groups = 12 is not a multiple of 16");
  EXPECT_TRUE(report.layers[2].pruned);
  EXPECT_EQ(CountZeros(store.Values(0)) + CountZeros(store.Values(1)), 0);
}

TEST(Prune, KeptMagnitudeIsTheShareOfTheSumOfAbsoluteValues) {
  MemoryWeights store;
  store.Add("w", {1, 4}, {1, -2, 3, -4});
  const PruneReport report = PruneWith(store, "2:4", {});
  EXPECT_DOUBLE_EQ(report.KeptMagnitude(), 0.7);
  EXPECT_DOUBLE_EQ(report.Sparsity(), 0.5);
}

}  // namespace
}  // namespace espalier
