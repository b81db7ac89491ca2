#include "espalier/train/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "espalier/base/error.h"
#include "tests/train/expect_error.h"

namespace espalier::train {
namespace {

ScheduleOptions Gmp(double initial, double target, std::int64_t stable, std::int64_t pruning,
                    std::int64_t updates) {
  ScheduleOptions options;
  options.kind = ScheduleKind::kGmp;
  options.initial = initial;
  options.target = target;
  options.stable_steps = stable;
  options.pruning_steps = pruning;
  options.updates = updates;
  return options;
}

std::vector<std::int64_t> UpdateSteps(const SparsitySchedule& schedule, std::int64_t steps) {
  std::vector<std::int64_t> updates;
  for (std::int64_t step = 0; step < steps; ++step) {
    if (schedule.At(step).recompute) updates.push_back(step);
  }
  return updates;
}

TEST(SparsitySchedule, OneShotComputesOnceAfterTheStablePhase) {
  ScheduleOptions options;
  options.target = 0.5;
  options.stable_steps = 3;
  const SparsitySchedule schedule(options);
  EXPECT_EQ(UpdateSteps(schedule, 50), std::vector<std::int64_t>{3});
  EXPECT_EQ(schedule.At(2).phase, SchedulePhase::kStable);
  EXPECT_EQ(schedule.At(2).amount, 0);
  EXPECT_EQ(schedule.At(3).phase, SchedulePhase::kPruning);
  EXPECT_EQ(schedule.At(3).amount, 0.5);
  EXPECT_EQ(schedule.At(4).phase, SchedulePhase::kTuning);
  EXPECT_EQ(schedule.At(std::numeric_limits<std::int64_t>::max()).amount, 0.5);
}

TEST(SparsitySchedule, ConstantComputesAtTheTargetEachTime) {
  ScheduleOptions options;
  options.kind = ScheduleKind::kConstant;
  options.target = 0.75;
  options.pruning_steps = 10;
  options.updates = 4;
  const SparsitySchedule schedule(options);
  EXPECT_EQ(UpdateSteps(schedule, 50), (std::vector<std::int64_t>{0, 2, 5, 7}));
  for (std::int64_t step = 0; step < 20; ++step) EXPECT_EQ(schedule.At(step).amount, 0.75);
}

TEST(SparsitySchedule, GmpMeetsBothEndsExactly) {
  for (const double initial : {0.0, 0.1, 0.15, 0.3}) {
    for (const double target : {0.3, 0.55, 0.75, 0.9}) {
      for (const std::int64_t updates : {2, 3, 7, 100}) {
        const SparsitySchedule schedule(Gmp(initial, target, 5, 1000, updates));
        EXPECT_EQ(schedule.At(4).amount, 0.0);
        EXPECT_EQ(schedule.At(5).amount, initial);
        EXPECT_TRUE(schedule.At(5).recompute);
        const auto steps = UpdateSteps(schedule, 2000);
        ASSERT_EQ(std::ssize(steps), updates);
        EXPECT_EQ(schedule.At(steps.back()).amount, target);
        EXPECT_EQ(schedule.At(steps.back()).progress, 1.0);
        EXPECT_LT(steps.back(), schedule.TuningStart());
        EXPECT_EQ(schedule.At(schedule.TuningStart()).amount, target);
        EXPECT_FALSE(schedule.At(schedule.TuningStart()).recompute);
      }
    }
  }
}

// Against the formula of arXiv 1710.01878 with t0 = 0 and n * dt = the step of the last update.
TEST(SparsitySchedule, GmpFollowsTheCubic) {
  const SparsitySchedule schedule(Gmp(0.1, 0.9, 0, 110, 11));
  double before = 0;
  for (std::int64_t update = 0; update < 11; ++update) {
    const double t = static_cast<double>(update * 10);
    const double want = 0.9 + (0.1 - 0.9) * std::pow(1.0 - t / 100.0, 3);
    for (std::int64_t step = update * 10; step < update * 10 + 10; ++step) {
      const ScheduleStep got = schedule.At(step);
      EXPECT_NEAR(got.amount, want, 1e-15) << step;
      EXPECT_NEAR(got.progress, want / 0.9, 1e-15) << step;
      EXPECT_EQ(got.recompute, step % 10 == 0) << step;
      EXPECT_GE(got.amount, before);
      before = got.amount;
    }
  }
}

TEST(SparsitySchedule, SpreadsUpdatesEvenlyWhereTheyDoNotDivideTheSteps) {
  for (std::int64_t pruning = 1; pruning < 30; ++pruning) {
    for (std::int64_t updates = 1; updates <= pruning; ++updates) {
      const SparsitySchedule schedule(Gmp(0, 0.5, 2, pruning, updates));
      const auto steps = UpdateSteps(schedule, 60);
      ASSERT_EQ(std::ssize(steps), updates) << pruning;
      EXPECT_EQ(steps.front(), 2);
      for (std::size_t i = 1; i < steps.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(steps[i] - steps[i - 1]),
                    static_cast<double>(pruning) / static_cast<double>(updates), 1.0);
      }
    }
  }
}

TEST(SparsitySchedule, DoesNotOverflowOverHugeRuns) {
  const std::int64_t steps = std::int64_t{1} << 60;
  const SparsitySchedule schedule(Gmp(0.25, 0.5, 0, steps, steps - 1));
  EXPECT_EQ(schedule.At(steps - 1).amount, 0.5);
  EXPECT_EQ(schedule.At(0).amount, 0.25);
}

TEST(SparsitySchedule, ThresholdsGrowLikewise) {
  ScheduleOptions options = Gmp(0, 4.0, 0, 4, 2);
  options.mode = ScheduleMode::kThreshold;
  EXPECT_EQ(SparsitySchedule(options).At(2).amount, 4.0);
}

TEST(SparsitySchedule, GmpOverPrunesInTheFirstHalf) {
  const SparsitySchedule schedule(GmpOver(1000, 0.15, 0.75));
  EXPECT_EQ(schedule.TuningStart(), 500);
  EXPECT_EQ(UpdateSteps(schedule, 1000).size(), 100u);
  EXPECT_EQ(SparsitySchedule(GmpOver(1, 0, 0.5)).At(0).amount, 0.5);
  ExpectError([] { GmpOver(0, 0, 0.5); }, ErrorCode::kInvalidArgument, "over 0 steps");
}

TEST(SparsitySchedule, RejectsWhatMakesNoSense) {
  const auto rejects = [](ScheduleOptions options, const char* text) {
    ExpectError([&] { SparsitySchedule{options}; }, ErrorCode::kInvalidArgument, text);
  };
  rejects(Gmp(0, 1.0, 0, 10, 2), "target ratio 1 ");
  rejects(Gmp(0, std::nan(""), 0, 10, 2), "target ratio nan");
  rejects(Gmp(-0.5, 0.5, 0, 10, 2), "initial ratio -0.5");
  rejects(Gmp(0.75, 0.5, 0, 10, 2), "initial 0.75 is above target 0.5");
  rejects(Gmp(0, 0.5, -1, 10, 2), "-1 stable");
  rejects(Gmp(0, 0.5, 0, 0, 0), "0 pruning steps");
  rejects(Gmp(0, 0.5, 0, 10, 11), "11 updates do not fit in 10");
  ScheduleOptions options;
  options.mode = ScheduleMode::kThreshold;
  options.target = -1;
  rejects(options, "threshold -1");
  options = {};
  options.pruning_steps = 4;
  rejects(options, "one-shot with 1 updates in 4 steps");
  ExpectError([] { SparsitySchedule{ScheduleOptions{}}.At(-1); }, ErrorCode::kInvalidArgument,
              "step -1");
}

TEST(SparsitySchedule, ParsesKinds) {
  EXPECT_EQ(ParseScheduleKind("one-shot"), ScheduleKind::kOneShot);
  EXPECT_EQ(ParseScheduleKind("constant"), ScheduleKind::kConstant);
  EXPECT_EQ(ParseScheduleKind("gmp"), ScheduleKind::kGmp);
  ExpectError([] { ParseScheduleKind("agp"); }, ErrorCode::kInvalidArgument, "'agp'");
}

}  // namespace
}  // namespace espalier::train
