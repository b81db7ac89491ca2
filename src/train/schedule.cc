#include "espalier/train/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "espalier/base/error.h"

namespace espalier::train {
namespace {

[[noreturn]] void WrongUse(const std::string& text) {
  throw Error(ErrorCode::kInvalidArgument, text);
}

void CheckAmount(const char* which, double amount, ScheduleMode mode) {
  const bool is_ratio = mode == ScheduleMode::kRatio;
  if (amount >= 0 && std::isfinite(amount) && (!is_ratio || amount < 1)) return;
  WrongUse(is_ratio ? fmt::format("schedule: {} ratio {} is not in 0 <= ratio < 1", which, amount)
                    : fmt::format("schedule: {} threshold {} is not a number >= 0", which, amount));
}

void CheckOptions(const ScheduleOptions& options) {
  CheckAmount("target", options.target, options.mode);
  if (options.kind == ScheduleKind::kGmp) {
    CheckAmount("initial", options.initial, options.mode);
    if (options.initial > options.target) {
      WrongUse(
          fmt::format("schedule: initial {} is above target {}", options.initial, options.target));
    }
  }
  if (options.stable_steps < 0 || options.pruning_steps < 1) {
    WrongUse(fmt::format("schedule: {} stable and {} pruning steps; at least 0 and 1 are needed",
                         options.stable_steps, options.pruning_steps));
  }
  if (options.updates < 1 || options.updates > options.pruning_steps) {
    WrongUse(fmt::format("schedule: {} updates do not fit in {} pruning steps", options.updates,
                         options.pruning_steps));
  }
  if (options.kind == ScheduleKind::kOneShot &&
      (options.updates != 1 || options.pruning_steps != 1)) {
    WrongUse(fmt::format("schedule: one-shot with {} updates in {} steps; it has one in one",
                         options.updates, options.pruning_steps));
  }
}

}  // namespace

SparsitySchedule::SparsitySchedule(const ScheduleOptions& options) : options_(options) {
  CheckOptions(options);
}

// First step of an update, counted from the start of the pruning phase. In two parts, so that no
// product overflows.
std::int64_t SparsitySchedule::StepOf(std::int64_t update) const {
  const std::int64_t period = options_.pruning_steps / options_.updates;
  const std::int64_t rest = options_.pruning_steps % options_.updates;
  return update * period +
         static_cast<std::int64_t>(static_cast<__int128>(update) * rest / options_.updates);
}

// The last update at or before a step of the pruning phase.
std::int64_t SparsitySchedule::UpdateAt(std::int64_t pruning_step) const {
  std::int64_t low = 0;
  std::int64_t high = options_.updates - 1;
  while (low < high) {
    const std::int64_t middle = high - (high - low) / 2;
    if (StepOf(middle) <= pruning_step) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

double SparsitySchedule::AmountOf(std::int64_t update) const {
  if (options_.kind != ScheduleKind::kGmp || update == options_.updates - 1) return options_.target;
  if (update == 0) return options_.initial;
  const double left = 1.0 - static_cast<double>(update) / static_cast<double>(options_.updates - 1);
  const double amount =
      options_.target + (options_.initial - options_.target) * (left * left * left);
  return std::clamp(amount, options_.initial, options_.target);
}

ScheduleStep SparsitySchedule::At(std::int64_t step) const {
  if (step < 0) WrongUse(fmt::format("schedule: step {} is negative", step));
  ScheduleStep result;
  if (step < options_.stable_steps) return result;
  const std::int64_t pruning_step = step - options_.stable_steps;
  const bool tuning = pruning_step >= options_.pruning_steps;
  const std::int64_t update = tuning ? options_.updates - 1 : UpdateAt(pruning_step);
  result.phase = tuning ? SchedulePhase::kTuning : SchedulePhase::kPruning;
  result.recompute = !tuning && StepOf(update) == pruning_step;
  result.amount = AmountOf(update);
  result.progress = options_.target > 0 ? result.amount / options_.target : 1.0;
  return result;
}

ScheduleOptions GmpOver(std::int64_t total_steps, double initial, double target) {
  if (total_steps < 1) WrongUse(fmt::format("a schedule over {} steps", total_steps));
  ScheduleOptions options;
  options.kind = ScheduleKind::kGmp;
  options.initial = initial;
  options.target = target;
  options.pruning_steps = std::max<std::int64_t>(1, total_steps / 2);
  options.updates = std::min<std::int64_t>(100, options.pruning_steps);
  return options;
}

ScheduleKind ParseScheduleKind(std::string_view text) {
  if (text == "one-shot") return ScheduleKind::kOneShot;
  if (text == "constant") return ScheduleKind::kConstant;
  if (text == "gmp") return ScheduleKind::kGmp;
  WrongUse(fmt::format("unknown schedule '{}'; there are one-shot, constant and gmp", text));
}

}  // namespace espalier::train
