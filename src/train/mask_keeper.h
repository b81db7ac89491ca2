#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/prune/prune.h"
#include "espalier/train/schedule.h"

namespace torch::optim {
class Optimizer;
}

namespace espalier::train {

/// How masks are made.
struct MaskSettings {
  std::shared_ptr<const Pattern> pattern;
  std::shared_ptr<const Criterion> criterion;
  /// Selection, alignment, scope, ratios, limits, threads. `sparsity` and `threshold` are not
  /// read: they come with each Compute().
  PruneOptions prune;
  /// Keeps what is pruned aside (as much memory again as the weights), so that masks are computed
  /// anew from the dense weights and RestoreDense() works. Else from the masked ones.
  bool keep_dense = false;
};

/// How much goes; nothing of it for patterns with a ratio of their own, as 2:4.
struct MaskAmount {
  std::optional<double> sparsity;
  std::optional<double> threshold;
  double progress = 1;  ///< Scales PruneOptions::ratios.
};

/// What a schedule's step asks of a pattern.
MaskAmount AmountOf(const SparsitySchedule& schedule, const ScheduleStep& step,
                    const Pattern& pattern);

/// @throws Error  kInvalidArgument for GMP or a threshold with a pattern that has its ratio built
///                in.
void CheckScheduleFits(const SparsitySchedule& schedule, const Pattern& pattern);

/// A weight in training and what holds its zeros.
struct HeldWeight {
  Layer layer;
  std::string refusal;  ///< Why it has no mask; empty if it has.
  at::Tensor weight;    ///< The parameter; undefined if the layer could not be understood.
  at::Tensor mask;      ///< bool, true keeps; all true before Compute(). Undefined if refused.
  at::Tensor aside;     ///< What is pruned, zero elsewhere, on the CPU; undefined unless kept.
};

/// Computes the masks of a network in training and holds them. For one training step:
/// `MaskGradients(); clip; optimizer.step(); MaskWeights();`, and after each Compute()
/// `MaskOptimizerState(optimizer)`, which keeps old momentum from pulling at pruned weights.
///
/// The tensors of weights() may be written by others between the calls, as when a checkpoint is
/// loaded into them; they are only ever changed in place. Calls throw c10::Error where libtorch
/// does.
class MaskKeeper {
 public:
  /// Chooses the layers; touches no weight.
  /// @param layers   In the network's order, refused ones too. Their views count elements of the
  ///                 contiguous weight.
  /// @param weights  One for each layer; undefined where the layer has a refusal.
  /// @throws Error   kShapeMismatch if a weight does not have its view's number of elements.
  MaskKeeper(std::vector<Layer> layers, const std::vector<at::Tensor>& weights,
             MaskSettings settings);

  /// Computes all masks anew and zeroes what they drop. If it throws, nothing has changed.
  /// @throws Error  As Prune().
  PruneReport Compute(const MaskAmount& amount);

  void MaskGradients() const;
  void MaskWeights() const;
  void MaskOptimizerState(torch::optim::Optimizer& optimizer) const;

  /// Puts back what was pruned, bit for bit; the masks keep everything from then on.
  /// @throws Error  kInvalidArgument without MaskSettings::keep_dense, unless nothing is masked.
  void RestoreDense();

  /// Whether every dropped weight is +0 bit for bit and every masked layer has the pattern.
  /// @return  The first breach in words; empty if all hold.
  std::string Verify() const;

  const std::vector<HeldWeight>& weights() const noexcept { return weights_; }
  const MaskSettings& settings() const noexcept { return settings_; }
  /// Selections that match no layer.
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }
  /// Share of dropped weights, over the layers with masks.
  double Sparsity() const;

 private:
  PruneOptions OptionsFor(const MaskAmount& amount) const;

  MaskSettings settings_;
  std::vector<HeldWeight> weights_;
  std::vector<std::string> warnings_;
};

}  // namespace espalier::train
