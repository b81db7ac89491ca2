#pragma once

#include <cstdint>
#include <string_view>

namespace espalier::train {

/// How the share of zeros grows while a network trains.
enum class ScheduleKind {
  kOneShot,   ///< Masks are computed once, at the target.
  kConstant,  ///< Masks are computed `updates` times, always at the target.
  kGmp,       ///< Gradual: `updates` times, from `initial` to the target along a cubic.
};

/// What the schedule's amount means.
enum class ScheduleMode {
  kRatio,      ///< Share of units to drop, 0 <= ratio < 1.
  kThreshold,  ///< Units that score below it go.
};

/// Steps are optimizer steps, counted from 0. The three phases follow each other: stable (dense),
/// pruning (masks change), tuning (masks hold; everything after the pruning phase belongs to it).
///
/// PaddleSlim's names: stable_iterations, pruning_iterations, pruning_steps (here `updates`),
/// initial_ratio; resume_iteration is not needed.
struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kOneShot;
  ScheduleMode mode = ScheduleMode::kRatio;
  double initial = 0;  ///< GMP: amount of the first update; 0 <= initial <= target.
  double target = 0;   ///< Amount of the last update; kept from then on.
  std::int64_t stable_steps = 0;
  std::int64_t pruning_steps = 1;  ///< One-shot: 1.
  /// How often masks are computed in the pruning phase, spread evenly, the first at its first step;
  /// at most `pruning_steps`. One-shot: 1.
  std::int64_t updates = 1;
};

enum class SchedulePhase {
  kStable,   ///< Dense.
  kPruning,  ///< Masks change.
  kTuning,   ///< Masks hold.
};

/// What the schedule asks of one step.
struct ScheduleStep {
  SchedulePhase phase = SchedulePhase::kStable;
  bool recompute = false;  ///< Compute the masks anew, at `amount`, before this step's gradients.
  double amount = 0;       ///< Ratio or threshold that holds during this step; 0 while stable.
  double progress = 0;  ///< amount / target, 0..1: scales ratios of single layers. 1 at target 0.
};

/// The amount of sparsity at each step: a pure function of the step, so that a run that is resumed
/// in the middle does what the unbroken one did.
class SparsitySchedule {
 public:
  /// @throws Error  kInvalidArgument with the bad value: amounts out of range or initial > target,
  ///                negative steps, more updates than steps, or one-shot with more than one.
  explicit SparsitySchedule(const ScheduleOptions& options);

  /// Update i of N, of N >= 2, has target + (initial - target) * (1 - i / (N - 1))^3: exactly
  /// `initial` at the first update and exactly `target` at the last; a single update has `target`.
  /// @param step     At least 0.
  /// @throws Error   kInvalidArgument for a negative step.
  /// @source Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878, equation 1. Differs:
  ///         time runs in updates, so that both ends are met exactly (PaddleSlim stops short of
  ///         the target and jumps to it when tuning begins).
  ScheduleStep At(std::int64_t step) const;

  /// The first step of the tuning phase.
  std::int64_t TuningStart() const { return options_.stable_steps + options_.pruning_steps; }

  const ScheduleOptions& options() const noexcept { return options_; }

 private:
  std::int64_t UpdateAt(std::int64_t pruning_step) const;
  std::int64_t StepOf(std::int64_t update) const;
  double AmountOf(std::int64_t update) const;

  ScheduleOptions options_;
};

/// GMP over a whole training, as PaddleSlim's recipes cut it: the first half prunes in up to 100
/// updates, the second half tunes.
/// @param total_steps  At least 1.
/// @throws Error       kInvalidArgument if `total_steps` is below 1.
ScheduleOptions GmpOver(std::int64_t total_steps, double initial, double target);

/// "one-shot", "constant" or "gmp".
/// @throws Error  kInvalidArgument with the text and the list.
ScheduleKind ParseScheduleKind(std::string_view text);

}  // namespace espalier::train
