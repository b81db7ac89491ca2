#include "espalier/train/learning_rate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "espalier/base/error.h"
#include "tests/train/expect_error.h"
#include "tests/train/torch_reference.h"

namespace espalier::train {
namespace {

LearningRateOptions Of(LearningRateKind kind) {
  LearningRateOptions options;
  options.kind = kind;
  options.base = 0.4;
  return options;
}

TEST(LearningRate, ConstantStays) {
  const LearningRate rate(Of(LearningRateKind::kConstant));
  EXPECT_EQ(rate.At(0), 0.4);
  EXPECT_EQ(rate.At(std::numeric_limits<std::int64_t>::max()), 0.4);
}

TEST(LearningRate, CosineFallsFromBaseToFinal) {
  LearningRateOptions options = Of(LearningRateKind::kCosine);
  options.final = 0.1;
  options.total_steps = 100;
  const LearningRate rate(options);
  EXPECT_EQ(rate.At(0), 0.4);
  EXPECT_NEAR(rate.At(25), 0.1 + 0.3 * (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_NEAR(rate.At(50), 0.25, 1e-15);
  EXPECT_EQ(rate.At(100), 0.1);
  EXPECT_EQ(rate.At(1000), 0.1);
  for (std::int64_t step = 1; step <= 100; ++step) EXPECT_LT(rate.At(step), rate.At(step - 1));
}

TEST(LearningRate, StepFallsEachPeriod) {
  LearningRateOptions options = Of(LearningRateKind::kStep);
  options.period = 10;
  options.gamma = 0.5;
  const LearningRate rate(options);
  EXPECT_EQ(rate.At(9), 0.4);
  EXPECT_EQ(rate.At(10), 0.2);
  EXPECT_EQ(rate.At(29), 0.1);
}

TEST(LearningRate, MultiStepFallsAtMilestones) {
  LearningRateOptions options = Of(LearningRateKind::kMultiStep);
  options.milestones = {5, 8};
  options.gamma = 0.5;
  const LearningRate rate(options);
  EXPECT_EQ(rate.At(4), 0.4);
  EXPECT_EQ(rate.At(5), 0.2);
  EXPECT_EQ(rate.At(8), 0.1);
}

TEST(LearningRate, WarmupRisesToTheScheduleAndTheCosineBeginsThere) {
  LearningRateOptions options = Of(LearningRateKind::kCosine);
  options.total_steps = 110;
  options.warmup_steps = 10;
  options.warmup_start = 0.25;
  const LearningRate rate(options);
  EXPECT_DOUBLE_EQ(rate.At(0), 0.1);
  EXPECT_DOUBLE_EQ(rate.At(5), 0.25);
  EXPECT_EQ(rate.At(10), 0.4);
  EXPECT_NEAR(rate.At(60), 0.2, 1e-15);
  EXPECT_EQ(rate.At(110), 0);
}

// PyTorch's schedulers multiply step by step, so they agree to rounding.
TEST(LearningRate, EqualsPyTorchsSchedulers) {
  SKIP_WITHOUT_PYTHON_TORCH();
  const TemporaryFolder folder;
  ASSERT_EQ(RunReference("rates", folder.path() / "rates"), 0);
  std::vector<double> want(400);
  std::ifstream file(folder.path() / "rates", std::ios::binary);
  file.read(reinterpret_cast<char*>(want.data()), 400 * sizeof(double));
  ASSERT_TRUE(file.good());
  LearningRateOptions cosine = Of(LearningRateKind::kCosine);
  cosine.total_steps = 99;
  cosine.final = 0.01;
  LearningRateOptions step = Of(LearningRateKind::kStep);
  step.period = 30;
  step.gamma = 0.3;
  LearningRateOptions milestones = Of(LearningRateKind::kMultiStep);
  milestones.milestones = {20, 70};
  LearningRateOptions warmup = Of(LearningRateKind::kConstant);
  warmup.warmup_steps = 40;
  warmup.warmup_start = 0.25;
  const LearningRateOptions all[] = {cosine, step, milestones, warmup};
  for (std::size_t which = 0; which < 4; ++which) {
    const LearningRate rate(all[which]);
    for (std::int64_t at = 0; at < 100; ++at) {
      EXPECT_NEAR(rate.At(at), want[100 * which + at], 1e-13) << which << " at " << at;
    }
  }
}

TEST(LearningRate, RejectsWhatMakesNoSense) {
  const auto rejects = [](const LearningRateOptions& options, const char* text) {
    ExpectError([&] { LearningRate{options}; }, ErrorCode::kInvalidArgument, text);
  };
  LearningRateOptions options = Of(LearningRateKind::kConstant);
  options.base = -1;
  rejects(options, "base -1");
  options = Of(LearningRateKind::kCosine);
  options.final = INFINITY;
  rejects(options, "final inf");
  options = Of(LearningRateKind::kCosine);
  options.total_steps = options.warmup_steps = 7;
  rejects(options, "7 steps in all leave none after 7");
  options = Of(LearningRateKind::kStep);
  rejects(options, "period of 0");
  options.gamma = 0;
  rejects(options, "gamma 0");
  options = Of(LearningRateKind::kMultiStep);
  options.milestones = {4, 4};
  rejects(options, "milestone 4 is followed by 4");
  options.milestones = {-4, 4};
  rejects(options, "milestone -4 is negative");
  options = Of(LearningRateKind::kConstant);
  options.warmup_steps = -2;
  rejects(options, "-2 warm-up steps");
  options = Of(LearningRateKind::kConstant);
  options.warmup_start = 1.5;
  rejects(options, "starts at 1.5");
  const LearningRate rate(Of(LearningRateKind::kConstant));
  ExpectError([&] { rate.At(-3); }, ErrorCode::kInvalidArgument, "step -3");
  ExpectError([] { ParseLearningRateKind("poly"); }, ErrorCode::kInvalidArgument, "'poly'");
}

TEST(LearningRate, ParsesKinds) {
  EXPECT_EQ(ParseLearningRateKind("constant"), LearningRateKind::kConstant);
  EXPECT_EQ(ParseLearningRateKind("cosine"), LearningRateKind::kCosine);
  EXPECT_EQ(ParseLearningRateKind("step"), LearningRateKind::kStep);
  EXPECT_EQ(ParseLearningRateKind("multistep"), LearningRateKind::kMultiStep);
}

}  // namespace
}  // namespace espalier::train
