#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/pattern/registry.h"
#include "espalier/prune/criterion.h"
#include "espalier/prune/prune.h"
#include "espalier/train/schedule.h"

namespace espalier::train {

/// What is pruned, how, and when. The defaults are those of apex's ASP: 2:4 by magnitude, once, of
/// all layers that sparse tensor cores take.
struct SparsifierRecipe {
  std::string pattern = "2:4";          ///< As `espalier patterns` spells them.
  std::string criterion = "magnitude";  ///< As `espalier criteria` spells them.
  std::uint64_t seed = 0;               ///< Of random criteria.

  /// Comma-separated terms of layer_select.h: "conv", "linear", "name:features\..*". Names are
  /// those of modules ("features.0") and of their weights ("features.0.weight").
  std::string only;
  std::string skip;
  /// kTensorRt is apex's rule: K % 8 = 0 and C / groups % 16 = 0.
  Alignment alignment = Alignment::kTensorRt;
  RankScope scope = RankScope::kLayer;

  /// Ranked patterns (unstructured, blocks, channels) without a schedule: one of the two.
  std::optional<double> sparsity;
  std::optional<double> threshold;
  /// If set, Step() computes the masks when the schedule says so, at the schedule's amount.
  std::optional<ScheduleOptions> schedule;
  std::map<std::string, double> ratios;  ///< Of single layers, at the schedule's target.
  double max_layer_sparsity = 1.0;
  std::optional<double> min_weights_per_channel;  ///< As in PruneOptions.

  /// ASP's allow_recompute_mask: keeps what is pruned (on the CPU, as much memory as the weights),
  /// so that masks are computed anew from the dense weights and RestorePrunedWeights() works.
  bool allow_recompute_mask = false;
  int threads = 1;

  /// Where the spellings are looked up: add your own patterns and criteria here.
  PatternRegistry patterns = PatternRegistry::BuiltIn();
  CriterionRegistry criteria = CriterionRegistry::BuiltIn();
};

/// A parameter of two or more dimensions, and what becomes of it.
struct SparsifierLayer {
  std::string name;    ///< Path of the module, "features.0".
  std::string weight;  ///< Path of the parameter, "features.0.weight".
  std::string op;      ///< "Linear", "Conv2d", ...
  Dims shape;
  bool masked = false;
  std::string reason;         ///< Why it is not masked; else empty.
  std::int64_t elements = 0;  ///< Of masked layers.
  std::int64_t dropped = 0;   ///< By the mask, now.
};

/// Makes a torch::nn::Module sparse and keeps it so while it trains: the workflow of apex's ASP,
/// for any pattern, criterion and schedule.
///
///     Sparsifier sparsifier(*net, optimizer, {});
///     sparsifier.PruneTrainedModel();
///     for (...) { optimizer.zero_grad(); Loss().backward(); sparsifier.Step(); }
///
/// Each submodule with a masked parameter `weight` gets a buffer `__weight_mma_mask` (bool), and
/// with allow_recompute_mask another, `__weight_mma_pruned_p`: the state dict of ASP. Load a
/// checkpoint after InitModel(). torch::nn's clone() refuses modules with such buffers.
///
/// libtorch's C++ optimizers have no hooks, so a call of `optimizer.step()` cannot be intercepted
/// as ASP does in Python: call Step() in its place. If a torch::nn::Module::to() changes the type
/// of the module's floats, call it before InitModel(): in C++ it converts bool buffers, too.
///
/// Every call throws Error(kInvalidArgument) with libtorch's own message where libtorch throws.
/// Not safe to call from several threads at once.
/// @source  apex.contrib.sparsity.ASP; Mishra et al., arXiv 2104.08378. Differs: what is dropped
///          is +0 bit for bit (ASP leaves -0.0), the optimizer's state is masked, too, when the
///          masks change, which leaves the weights as they are in ASP bit for bit.
class Sparsifier {
 public:
  /// Reads the recipe and chooses the layers; changes nothing.
  /// @param module     Trains; outlives this object, as does the optimizer. Not cloned or rebuilt.
  /// @param optimizer  Any.
  /// @throws Error     kInvalidArgument if the recipe makes no sense: an unknown pattern,
  ///                   criterion or layer term, a ratio out of range, a schedule besides a
  ///                   sparsity.
  Sparsifier(torch::nn::Module& module, torch::optim::Optimizer& optimizer,
             const SparsifierRecipe& recipe);
  ~Sparsifier();
  Sparsifier(Sparsifier&&) noexcept;
  Sparsifier& operator=(Sparsifier&&) noexcept;

  /// ASP's init_model_for_pruning: registers the masks, which keep everything.
  /// @throws Error  kInvalidArgument if it was called before, or the module has such masks already.
  void InitModel();

  /// ASP's init_optimizer_for_pruning: from here on Step() masks. Warns of masked weights that the
  /// optimizer does not have.
  /// @throws Error  kInvalidArgument before InitModel(), or if it was called before.
  void InitOptimizer();

  /// ASP's compute_sparse_masks: computes the masks and zeroes what they drop, at the recipe's
  /// sparsity or what the schedule says of the current step. With allow_recompute_mask from the
  /// dense weights, else from the masked ones. If it throws, nothing has changed.
  /// @throws Error  kInvalidArgument before InitModel(); errors of Prune().
  PruneReport ComputeMasks();

  /// ASP's prune_trained_model: InitModel(), InitOptimizer() and ComputeMasks(); the last only
  /// if a schedule, where there is one, wants masks for the current step.
  /// @throws Error  As those do.
  void PruneTrainedModel();

  /// One optimizer step with the masks held: masks the gradients, calls optimizer.step(), masks the
  /// weights; then computes the masks of the next step if the schedule wants new ones. Clip
  /// gradients between MaskGradients() and this.
  /// @param closure  As of optimizer.step(); gradients are masked after each of its calls.
  /// @return         What the optimizer returns.
  /// @throws Error   kInvalidArgument before InitOptimizer(); errors of ComputeMasks() and those
  ///                 that the closure throws.
  at::Tensor Step(torch::optim::Optimizer::LossClosure closure = nullptr);

  /// Masks the gradients now, for code that reads them before Step(), as clipping does.
  /// @throws Error  kInvalidArgument before InitModel().
  void MaskGradients();

  /// ASP's restore_pruned_weights: puts back what was pruned, bit for bit; the masks keep
  /// everything from then on.
  /// @throws Error  kInvalidArgument without allow_recompute_mask, unless nothing is masked.
  void RestorePrunedWeights();

  /// ASP's is_sparsity_enabled: whether any mask drops anything.
  bool IsEnabled() const;

  /// Whether all dropped weights are +0 bit for bit and the pattern holds.
  /// @return  The first breach in words; empty if all is well.
  std::string Verify() const;

  /// Every parameter of two or more dimensions, in the order of registration.
  std::vector<SparsifierLayer> Layers() const;

  /// Share of dropped weights over the masked layers.
  double Sparsity() const;

  /// Whole sentences: terms that match no layer, weights that the optimizer does not have.
  const std::vector<std::string>& warnings() const noexcept;

  /// Steps done; they drive the schedule.
  std::int64_t steps() const noexcept;

  /// For a run that is resumed: the masks that were loaded are those of step `steps`.
  /// @param steps   At least 0.
  /// @throws Error  kInvalidArgument if it is negative.
  void SetSteps(std::int64_t steps);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace espalier::train
