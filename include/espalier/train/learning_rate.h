#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace espalier::train {

enum class LearningRateKind {
  kConstant,
  kCosine,     ///< Half a cosine from `base` down to `final`.
  kStep,       ///< Times `gamma` every `period` steps.
  kMultiStep,  ///< Times `gamma` at each of `milestones`.
};

/// Steps are optimizer steps, counted from 0, warm-up included.
struct LearningRateOptions {
  LearningRateKind kind = LearningRateKind::kConstant;
  double base = 0.1;             ///< After warm-up; finite, >= 0.
  double final = 0;              ///< Cosine: the rate at `total_steps` and after; finite, >= 0.
  std::int64_t total_steps = 0;  ///< Cosine: more than `warmup_steps`.
  std::int64_t period = 0;       ///< Step: at least 1.
  std::vector<std::int64_t> milestones;  ///< Multistep: >= 0 and rising.
  double gamma = 0.1;                    ///< Finite, > 0.
  /// The rate rises along a line from warmup_start * base at step 0 to the schedule's own value at
  /// step `warmup_steps`.
  std::int64_t warmup_steps = 0;
  double warmup_start = 0.1;  ///< 0..1.
};

/// The learning rate at each step: a pure function of the step, so that resuming is exact.
class LearningRate {
 public:
  /// @throws Error  kInvalidArgument with the value that is out of its range.
  explicit LearningRate(const LearningRateOptions& options);

  /// @param step     At least 0.
  /// @throws Error   kInvalidArgument for a negative step.
  /// @source The closed forms of PyTorch's CosineAnnealingLR, StepLR, MultiStepLR and LinearLR;
  ///         the cosine begins when warm-up ends (Goyal et al., arXiv 1706.02677, section 2.2).
  double At(std::int64_t step) const;

  const LearningRateOptions& options() const noexcept { return options_; }

 private:
  double AfterWarmup(std::int64_t step) const;

  LearningRateOptions options_;
};

/// "constant", "cosine", "step" or "multistep".
/// @throws Error  kInvalidArgument with the text and the list.
LearningRateKind ParseLearningRateKind(std::string_view text);

}  // namespace espalier::train
