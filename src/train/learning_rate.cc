#include "espalier/train/learning_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "espalier/base/error.h"

namespace espalier::train {
namespace {

[[noreturn]] void WrongUse(const std::string& text) {
  throw Error(ErrorCode::kInvalidArgument, text);
}

void CheckRate(const char* which, double rate) {
  if (rate >= 0 && std::isfinite(rate)) return;
  WrongUse(fmt::format("learning rate: {} {} is not a number >= 0", which, rate));
}

void CheckWarmup(const LearningRateOptions& options) {
  if (options.warmup_steps < 0) {
    WrongUse(fmt::format("learning rate: {} warm-up steps", options.warmup_steps));
  }
  if (!(options.warmup_start >= 0 && options.warmup_start <= 1)) {
    WrongUse(fmt::format("learning rate: warm-up starts at {} of the base, which is not in 0..1",
                         options.warmup_start));
  }
}

void CheckDecay(const LearningRateOptions& options) {
  if (!(options.gamma > 0 && std::isfinite(options.gamma))) {
    WrongUse(fmt::format("learning rate: gamma {} is not a number > 0", options.gamma));
  }
  if (options.kind == LearningRateKind::kStep && options.period < 1) {
    WrongUse(fmt::format("learning rate: a period of {} steps", options.period));
  }
  if (options.kind == LearningRateKind::kCosine && options.total_steps <= options.warmup_steps) {
    WrongUse(fmt::format("learning rate: {} steps in all leave none after {} of warm-up",
                         options.total_steps, options.warmup_steps));
  }
  const auto falls = std::ranges::adjacent_find(options.milestones, std::greater_equal<>());
  if (falls != options.milestones.end()) {
    WrongUse(fmt::format("learning rate: milestone {} is followed by {}", *falls, falls[1]));
  }
  if (!options.milestones.empty() && options.milestones.front() < 0) {
    WrongUse(fmt::format("learning rate: milestone {} is negative", options.milestones.front()));
  }
}

}  // namespace

LearningRate::LearningRate(const LearningRateOptions& options) : options_(options) {
  CheckRate("base", options.base);
  CheckRate("final", options.final);
  CheckWarmup(options);
  CheckDecay(options);
}

double LearningRate::AfterWarmup(std::int64_t step) const {
  switch (options_.kind) {
    case LearningRateKind::kConstant:
      return options_.base;
    case LearningRateKind::kCosine: {
      const std::int64_t last = options_.total_steps - options_.warmup_steps;
      const std::int64_t done = step - options_.warmup_steps;
      if (done >= last) return options_.final;
      const double part = static_cast<double>(done) / static_cast<double>(last);
      return options_.final +
             (options_.base - options_.final) * 0.5 * (1.0 + std::cos(std::numbers::pi * part));
    }
    case LearningRateKind::kStep:
      return options_.base * std::pow(options_.gamma, static_cast<double>(step / options_.period));
    case LearningRateKind::kMultiStep: {
      const auto passed = std::ranges::upper_bound(options_.milestones, step);
      return options_.base *
             std::pow(options_.gamma, static_cast<double>(passed - options_.milestones.begin()));
    }
  }
  return options_.base;
}

double LearningRate::At(std::int64_t step) const {
  if (step < 0) WrongUse(fmt::format("learning rate: step {} is negative", step));
  if (step >= options_.warmup_steps) return AfterWarmup(step);
  const double begin = options_.warmup_start * options_.base;
  const double part = static_cast<double>(step) / static_cast<double>(options_.warmup_steps);
  return begin + (AfterWarmup(options_.warmup_steps) - begin) * part;
}

LearningRateKind ParseLearningRateKind(std::string_view text) {
  if (text == "constant") return LearningRateKind::kConstant;
  if (text == "cosine") return LearningRateKind::kCosine;
  if (text == "step") return LearningRateKind::kStep;
  if (text == "multistep") return LearningRateKind::kMultiStep;
  WrongUse(fmt::format(
      "unknown learning rate schedule '{}'; there are constant, cosine, step and multistep", text));
}

}  // namespace espalier::train
