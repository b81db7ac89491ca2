#include "train/mask_keeper.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "espalier/pattern/registry.h"
#include "tests/train/expect_error.h"
#include "tests/train/same_bits.h"
#include "train/apply_mask.h"
#include "train/optimizer_state.h"
#include "train/tensor_weights.h"

namespace espalier::train {
namespace {

using ::testing::HasSubstr;

MaskSettings Settings(const char* pattern) {
  MaskSettings settings;
  settings.pattern = PatternRegistry::BuiltIn().Make(pattern);
  settings.criterion = CriterionRegistry::BuiltIn().Make("magnitude");
  return settings;
}

MaskAmount Ratio(double ratio) {
  MaskAmount amount;
  amount.sparsity = ratio;
  return amount;
}

at::Tensor Parameter(const Dims& shape) { return at::randn(shape).set_requires_grad(true); }

Layer LayerFor(const std::string& name, const at::Tensor& weight) {
  return LayerOfTensor(name, DType::kFloat32, weight.sizes().vec());
}

MaskKeeper KeeperOf(const at::Tensor& weight, MaskSettings settings) {
  return MaskKeeper({LayerFor("fc", weight)}, {weight}, std::move(settings));
}

std::int64_t Dropped(const HeldWeight& held) {
  return held.mask.logical_not().sum().item<std::int64_t>();
}

at::Tensor WithBits(const at::Tensor& floats, std::int64_t index, std::int32_t bits) {
  std::memcpy(floats.data_ptr<float>() + index, &bits, sizeof(bits));
  return floats;
}

TEST(ApplyMask, LeavesPlusZeroInEveryTypeAndLayout) {
  at::manual_seed(1);
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const bool channels_last : {false, true}) {
      at::Tensor values = at::randn({6, 4, 3, 5}).to(type);
      if (channels_last) values = values.contiguous(at::MemoryFormat::ChannelsLast);
      const at::Tensor mask = at::rand({6, 4, 3, 5}).gt(0.5);
      const at::Tensor want = at::where(mask, values, at::zeros_like(values));
      const auto version = values._version();
      ApplyMask(values, mask);
      EXPECT_TRUE(SameBits(values, want)) << type << channels_last;
      EXPECT_GT(values._version(), version);
    }
  }
}

TEST(ApplyMask, ClearsNanAndMinusZero) {
  const at::Tensor values = at::tensor({NAN, -0.0f, -1.0f, NAN});
  ApplyMask(values, at::tensor({0, 0, 0, 1}).to(at::kBool));
  EXPECT_TRUE(SameBits(values, at::tensor({0.0f, 0.0f, 0.0f, NAN})));
}

TEST(ApplyMask, ThreadsGiveTheSame) {
  const at::Tensor values = at::randn({200'003});
  const at::Tensor mask = at::rand({200'003}).gt(0.5);
  const at::Tensor want = at::where(mask, values, at::zeros_like(values));
  ApplyMask(values, mask);
  EXPECT_TRUE(SameBits(values, want));
}

TEST(ApplyMask, RefusesAMaskOfOtherShape) {
  EXPECT_THROW(ApplyMask(at::ones({4}), at::ones({3}).to(at::kBool)), c10::Error);
}

// Of the weights only every fourth is not zero: a mask read off the zeros would keep 25 %.
TEST(MaskKeeper, KeepsZerosThatTheRankingKeeps) {
  at::manual_seed(2);
  for (const char* pattern : {"2:4", "4:8", "7:20", "2:4-transposable"}) {
    const at::Tensor weight = at::randn({40, 40});
    weight.view({-1, 4}).slice(1, 1, 4).zero_();
    weight.set_requires_grad(true);
    MaskKeeper keeper = KeeperOf(weight, Settings(pattern));
    const PruneReport report = keeper.Compute({});
    EXPECT_EQ(Dropped(keeper.weights()[0]), static_cast<std::int64_t>(report.layers[0].dropped))
        << pattern;
    EXPECT_EQ(Dropped(keeper.weights()[0]), pattern[0] == '7' ? 40 * 26 : 800) << pattern;
    EXPECT_EQ(keeper.Verify(), "") << pattern;
  }
  for (const char* pattern : {"unstructured", "block:4x1", "channel"}) {
    const at::Tensor weight = at::randn({40, 40, 3, 3});
    weight.slice(0, 8, 40).zero_();
    weight.set_requires_grad(true);
    MaskKeeper keeper = KeeperOf(weight, Settings(pattern));
    keeper.Compute(Ratio(0.55));
    EXPECT_EQ(Dropped(keeper.weights()[0]), 40 * 40 * 9 * 55 / 100) << pattern;
    EXPECT_EQ(keeper.Verify(), "") << pattern;
  }
}

// MatMul weights are [K, N]: groups run along axis 0.
TEST(MaskKeeper, MasksAlongTheInputChannelsOfAnyLayout) {
  at::manual_seed(3);
  const at::Tensor weight = Parameter({8, 6});
  Layer layer = LayerFor("matmul", weight);
  layer.view.in = {8, 6};
  layer.view.out = {6, 1};
  MaskKeeper keeper({layer}, {weight}, Settings("2:4"));
  keeper.Compute({});
  const at::Tensor kept = keeper.weights()[0].mask.view({2, 4, 6}).sum(1);
  EXPECT_TRUE(kept.eq(2).all().item<bool>()) << kept;
  EXPECT_EQ(keeper.Verify(), "");
}

TEST(MaskKeeper, WeightsOfOtherTypesAndOrdersGetTheMaskOfTheirFloatCopy) {
  at::manual_seed(4);
  const at::Tensor plain = Parameter({8, 16, 3, 3});
  MaskKeeper want = KeeperOf(plain, Settings("2:4"));
  const at::Tensor last =
      plain.detach().clone(at::MemoryFormat::ChannelsLast).set_requires_grad(true);
  const at::Tensor wide = plain.detach().to(at::kDouble).set_requires_grad(true);
  want.Compute({});
  for (const at::Tensor& weight : {last, wide}) {
    MaskKeeper keeper = KeeperOf(weight, Settings("2:4"));
    keeper.Compute({});
    EXPECT_TRUE(keeper.weights()[0].mask.equal(want.weights()[0].mask));
    EXPECT_EQ(keeper.Verify(), "");
  }
}

TEST(MaskKeeper, GlobalScopeRanksOverAllLayers) {
  at::manual_seed(5);
  const at::Tensor large = at::randn({16, 16}).mul(10).set_requires_grad(true);
  const at::Tensor small = Parameter({16, 16});
  MaskSettings settings = Settings("unstructured");
  settings.prune.scope = RankScope::kGlobal;
  MaskKeeper keeper({LayerFor("large", large), LayerFor("small", small)}, {large, small}, settings);
  keeper.Compute(Ratio(0.5));
  EXPECT_EQ(Dropped(keeper.weights()[0]) + Dropped(keeper.weights()[1]), 256);
  EXPECT_GT(Dropped(keeper.weights()[1]), 200);
  EXPECT_DOUBLE_EQ(keeper.Sparsity(), 0.5);
}

TEST(MaskKeeper, ScalesRatiosOfLayersWithTheScheduleAndTakesThresholds) {
  at::manual_seed(6);
  const at::Tensor weight = Parameter({10, 10});
  MaskSettings settings = Settings("unstructured");
  settings.prune.ratios["fc"] = 0.8;
  MaskKeeper keeper = KeeperOf(weight, settings);
  MaskAmount half = Ratio(0.25);
  half.progress = 0.5;
  keeper.Compute(half);
  EXPECT_EQ(Dropped(keeper.weights()[0]), 40);

  const at::Tensor ramp = at::arange(0, 100, at::kFloat).view({10, 10}).set_requires_grad(true);
  MaskKeeper by_threshold = KeeperOf(ramp, Settings("unstructured"));
  MaskAmount below;
  below.threshold = 30;
  by_threshold.Compute(below);
  EXPECT_EQ(Dropped(by_threshold.weights()[0]), 30);
}

TEST(MaskKeeper, SaysWhyALayerHasNoMask) {
  const at::Tensor odd = Parameter({6, 16});
  const at::Tensor chosen = Parameter({16, 16});
  Layer refused = LayerFor("strange", odd);
  refused.refusal = "read by Gather";
  MaskSettings settings = Settings("2:4");
  settings.prune.alignment = Alignment::kTensorRt;
  settings.prune.selection.skip = ParseLayerTerms("name:skipped,name:nothing");
  const MaskKeeper keeper(
      {LayerFor("odd", odd), LayerFor("skipped", chosen), refused, LayerFor("chosen", chosen)},
      {odd, chosen, at::Tensor(), chosen}, settings);
  EXPECT_EQ(keeper.weights()[0].refusal, "K = 6 is not a multiple of 8");
  EXPECT_EQ(keeper.weights()[1].refusal, "--skip name:skipped");
  EXPECT_EQ(keeper.weights()[2].refusal, "read by Gather");
  EXPECT_EQ(keeper.weights()[3].refusal, "");
  EXPECT_FALSE(keeper.weights()[0].mask.defined());
  EXPECT_EQ(keeper.warnings(),
            std::vector<std::string>{"the selection 'name:nothing' matches no layer"});
}

TEST(MaskKeeper, RejectsAViewOfAnotherSize) {
  const at::Tensor weight = Parameter({4, 4});
  ExpectError(
      [&] {
        MaskKeeper({LayerOfTensor("fc", DType::kFloat32, {4, 8})}, {weight}, Settings("2:4"));
      },
      ErrorCode::kShapeMismatch, "'fc' is a view of 32 weights, its tensor has 16");
}

TEST(MaskKeeper, HoldsZerosThroughSteps) {
  at::manual_seed(7);
  for (const bool adam : {false, true}) {
    const at::Tensor weight = Parameter({8, 16});
    MaskKeeper keeper = KeeperOf(weight, Settings("2:4"));
    const std::vector<at::Tensor> parameters = {weight};
    std::unique_ptr<torch::optim::Optimizer> optimizer;
    if (adam) {
      auto options = torch::optim::AdamWOptions(0.01).amsgrad(true);
      optimizer = std::make_unique<torch::optim::AdamW>(parameters, options);
    } else {
      auto options = torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.01);
      optimizer = std::make_unique<torch::optim::SGD>(parameters, options);
    }
    for (int step = 0; step < 10; ++step) {
      optimizer->zero_grad();
      weight.mul(at::randn({8, 16})).sum().backward();
      if (step == 3) {
        keeper.Compute({});
        keeper.MaskOptimizerState(*optimizer);
      }
      keeper.MaskGradients();
      optimizer->step();
      keeper.MaskWeights();
      ASSERT_EQ(keeper.Verify(), "") << step;
    }
    const at::Tensor gone = keeper.weights()[0].mask.logical_not();
    const auto states = StateTensors(*optimizer, weight);
    EXPECT_EQ(states.size(), adam ? 3u : 1u);
    for (const at::Tensor& state : states) {
      EXPECT_TRUE(SameBits(state.masked_select(gone), at::zeros({64})));
    }
    EXPECT_TRUE(SameBits(weight.grad().masked_select(gone), at::zeros({64})));
    EXPECT_GT(weight.detach().ne(0).sum().item<std::int64_t>(), 60);
  }
}

TEST(MaskKeeper, RecomputesFromTheDenseWeightsIfTheyAreKept) {
  at::manual_seed(8);
  for (const bool keep_dense : {false, true}) {
    const at::Tensor weight = Parameter({8, 16});
    const at::Tensor dense = weight.detach().clone();
    MaskSettings settings = Settings("unstructured");
    settings.keep_dense = keep_dense;
    MaskKeeper keeper = KeeperOf(weight, settings);
    keeper.Compute(Ratio(0.75));
    const at::Tensor masked = weight.detach().clone();
    keeper.Compute(Ratio(0.25));
    EXPECT_EQ(Dropped(keeper.weights()[0]), 32);
    EXPECT_EQ(keeper.Verify(), "");
    const at::Tensor mask = keeper.weights()[0].mask;
    const at::Tensor want = keep_dense ? at::where(mask, dense, at::zeros_like(dense)) : masked;
    EXPECT_TRUE(SameBits(weight, want)) << keep_dense;
  }
}

TEST(MaskKeeper, RestoresWhatWasPrunedBitForBit) {
  at::manual_seed(9);
  const at::Tensor weight = WithBits(at::randn({8, 16}), 5, static_cast<std::int32_t>(0x80000000));
  const at::Tensor dense = weight.clone();
  weight.set_requires_grad(true);
  MaskSettings settings = Settings("2:4");
  settings.keep_dense = true;
  MaskKeeper keeper = KeeperOf(weight, settings);
  keeper.Compute({});
  EXPECT_FALSE(SameBits(weight, dense));
  keeper.RestoreDense();
  EXPECT_TRUE(SameBits(weight, dense));
  EXPECT_EQ(keeper.Sparsity(), 0);
  EXPECT_TRUE(SameBits(keeper.weights()[0].aside, at::zeros({8, 16})));
}

TEST(MaskKeeper, CannotRestoreWhatItDidNotKeep) {
  const at::Tensor weight = Parameter({8, 16});
  MaskKeeper keeper = KeeperOf(weight, Settings("2:4"));
  keeper.RestoreDense();  // nothing is masked yet
  keeper.Compute({});
  ExpectError([&] { keeper.RestoreDense(); }, ErrorCode::kInvalidArgument, "'fc' was not kept");
}

TEST(MaskKeeper, AFailedComputationChangesNothing) {
  at::manual_seed(10);
  const at::Tensor weight = Parameter({8, 16});
  MaskSettings settings = Settings("2:4");
  settings.keep_dense = true;
  MaskKeeper keeper = KeeperOf(weight, settings);
  keeper.Compute({});
  weight.detach().masked_fill_(weight.detach().gt(1.0), NAN);
  const at::Tensor before = weight.detach().clone();
  const at::Tensor mask = keeper.weights()[0].mask.clone();
  const at::Tensor aside = keeper.weights()[0].aside.clone();
  ExpectError([&] { keeper.Compute({}); }, ErrorCode::kBadFile, "fc");
  EXPECT_TRUE(SameBits(weight, before));
  EXPECT_TRUE(SameBits(keeper.weights()[0].mask, mask));
  EXPECT_TRUE(SameBits(keeper.weights()[0].aside, aside));
}

TEST(MaskKeeper, VerifyNamesTheFirstBreach) {
  at::manual_seed(11);
  const at::Tensor weight = Parameter({8, 16});
  MaskKeeper keeper = KeeperOf(weight, Settings("2:4"));
  keeper.Compute({});
  const at::Tensor mask = keeper.weights()[0].mask;
  const auto gone = mask.flatten().logical_not().nonzero().flatten()[3].item<std::int64_t>();
  WithBits(weight.detach(), gone, static_cast<std::int32_t>(0x80000000));
  EXPECT_EQ(keeper.Verify(), "'fc': dropped weight " + std::to_string(gone) + " is -0, not +0");
  keeper.MaskWeights();
  mask.slice(0, 2, 3).fill_(true);
  weight.detach().slice(0, 2, 3).fill_(1);
  EXPECT_EQ(keeper.Verify(),
            "'fc': 4 nonzeros break 2:4 in row 2, kernel position 0, "
            "from channel 0");
}

TEST(MaskKeeper, VerifyFindsTornUnits) {
  at::manual_seed(12);
  const at::Tensor weight = Parameter({8, 16});
  MaskKeeper keeper = KeeperOf(weight, Settings("block:4x1"));
  keeper.Compute(Ratio(0.5));
  EXPECT_EQ(keeper.Verify(), "");
  const at::Tensor mask = keeper.weights()[0].mask;
  mask[0].fill_(true);
  EXPECT_THAT(keeper.Verify(), HasSubstr("keeps 1 and drops 3 weights of unit"));
}

TEST(MaskKeeper, SchedulesBecomeAmounts) {
  ScheduleOptions options = GmpOver(20, 0.1, 0.5);
  const auto blocks = PatternRegistry::BuiltIn().Make("block:4x1");
  const auto groups = PatternRegistry::BuiltIn().Make("2:4");
  const SparsitySchedule gmp(options);
  EXPECT_EQ(AmountOf(gmp, gmp.At(0), *blocks).sparsity, 0.1);
  EXPECT_EQ(AmountOf(gmp, gmp.At(0), *groups).sparsity, std::nullopt);
  ExpectError([&] { CheckScheduleFits(gmp, *groups); }, ErrorCode::kInvalidArgument, "pattern 2:4");
  CheckScheduleFits(gmp, *blocks);
  options = {};
  options.mode = ScheduleMode::kThreshold;
  options.target = 2;
  const SparsitySchedule by_threshold(options);
  EXPECT_EQ(AmountOf(by_threshold, by_threshold.At(0), *blocks).threshold, 2);
  ExpectError([&] { CheckScheduleFits(by_threshold, *groups); }, ErrorCode::kInvalidArgument,
              "no threshold");
}

}  // namespace
}  // namespace espalier::train
