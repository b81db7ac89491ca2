#include "train/mask_keeper.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "espalier/base/error.h"
#include "train/apply_mask.h"
#include "train/mask_check.h"
#include "train/optimizer_state.h"
#include "train/tensor_weights.h"

namespace espalier::train {
namespace {

// The weight before it was pruned: a copy.
at::Tensor DenseOf(const HeldWeight& held) {
  const at::Tensor weight = held.weight.detach();
  return at::where(held.mask.to(at::kBool), weight, held.aside.to(weight.device()));
}

bool DropsNothing(const HeldWeight& held) { return held.mask.all().item<bool>(); }

// Why a layer gets no mask, for each.
std::vector<std::string> Refusals(const std::vector<Layer>& layers, const MaskSettings& settings,
                                  std::vector<std::string>* warnings) {
  std::vector<std::string> unmatched;
  auto reasons = SelectLayers(layers, settings.prune.selection, &unmatched);
  for (const std::string& term : unmatched) {
    warnings->push_back(fmt::format("the selection '{}' matches no layer", term));
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!reasons[i].empty()) continue;
    reasons[i] = MisfitOf(layers[i], *settings.pattern, settings.prune.alignment);
  }
  return reasons;
}

}  // namespace

MaskAmount AmountOf(const SparsitySchedule& schedule, const ScheduleStep& step,
                    const Pattern& pattern) {
  MaskAmount amount;
  amount.progress = step.progress;
  if (pattern.kind() == Pattern::Kind::kPerGroup) return amount;
  const bool is_ratio = schedule.options().mode == ScheduleMode::kRatio;
  (is_ratio ? amount.sparsity : amount.threshold) = step.amount;
  return amount;
}

void CheckScheduleFits(const SparsitySchedule& schedule, const Pattern& pattern) {
  if (pattern.kind() != Pattern::Kind::kPerGroup) return;
  const ScheduleOptions& options = schedule.options();
  if (options.kind != ScheduleKind::kGmp && options.mode == ScheduleMode::kRatio) return;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("pattern {} has its ratio built in: it takes a one-shot or constant "
                          "schedule, not gmp and no threshold",
                          pattern.Name()));
}

MaskKeeper::MaskKeeper(std::vector<Layer> layers, const std::vector<at::Tensor>& weights,
                       MaskSettings settings)
    : settings_(std::move(settings)) {
  ESPALIER_CHECK(layers.size() == weights.size() && settings_.pattern && settings_.criterion);
  auto refusals = Refusals(layers, settings_, &warnings_);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    HeldWeight held{std::move(layers[i]), std::move(refusals[i]), weights[i], {}, {}};
    if (held.refusal.empty()) {
      TensorWeights({held.layer}, {held.weight});  // throws if they do not fit
      held.mask = at::ones(held.weight.sizes(), held.weight.options().dtype(at::kBool));
      if (settings_.keep_dense) {
        held.aside = at::zeros(held.weight.sizes(), held.weight.options().device(at::kCPU));
      }
    }
    weights_.push_back(std::move(held));
  }
}

PruneOptions MaskKeeper::OptionsFor(const MaskAmount& amount) const {
  PruneOptions options = settings_.prune;
  options.sparsity = amount.sparsity;
  options.threshold = amount.threshold;
  for (auto& [name, ratio] : options.ratios) ratio *= amount.progress;
  return options;
}

PruneReport MaskKeeper::Compute(const MaskAmount& amount) {
  const at::NoGradGuard no_grad;
  std::vector<Layer> layers;
  std::vector<at::Tensor> dense;
  for (const HeldWeight& held : weights_) {
    layers.push_back(held.layer);
    dense.push_back(held.aside.defined() ? DenseOf(held) : held.weight);
  }
  TensorWeights store(std::move(layers), dense);
  PruneReport report = Prune(store, *settings_.pattern, *settings_.criterion, OptionsFor(amount));
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const HeldWeight& held = weights_[i];
    if (!held.refusal.empty()) continue;
    if (store.Mask(i).defined()) {
      held.mask.copy_(store.Mask(i));
    } else {
      held.mask.fill_(true);
    }
    if (held.aside.defined()) {
      held.aside.copy_(dense[i]);
      ApplyMask(held.aside, held.mask.logical_not().to(held.aside.device()));
      held.weight.copy_(dense[i]);
    }
    ApplyMask(held.weight, held.mask);
  }
  return report;
}

void MaskKeeper::MaskGradients() const {
  for (const HeldWeight& held : weights_) {
    if (held.refusal.empty() && held.weight.grad().defined()) {
      ApplyMask(held.weight.grad(), held.mask);
    }
  }
}

void MaskKeeper::MaskWeights() const {
  for (const HeldWeight& held : weights_) {
    if (held.refusal.empty()) ApplyMask(held.weight, held.mask);
  }
}

void MaskKeeper::MaskOptimizerState(torch::optim::Optimizer& optimizer) const {
  for (const HeldWeight& held : weights_) {
    if (!held.refusal.empty()) continue;
    for (const at::Tensor& state : StateTensors(optimizer, held.weight)) {
      ApplyMask(state, held.mask);
    }
  }
}

void MaskKeeper::RestoreDense() {
  const at::NoGradGuard no_grad;
  for (const HeldWeight& held : weights_) {
    if (!held.refusal.empty() || held.aside.defined() || DropsNothing(held)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("what was pruned of '{}' was not kept, so it cannot be restored",
                            held.layer.name));
  }
  for (const HeldWeight& held : weights_) {
    if (!held.refusal.empty() || !held.aside.defined()) continue;
    held.weight.copy_(DenseOf(held));
    held.mask.fill_(true);
    held.aside.zero_();
  }
}

std::string MaskKeeper::Verify() const {
  const at::NoGradGuard no_grad;
  for (const HeldWeight& held : weights_) {
    if (!held.refusal.empty()) continue;
    std::string breach = NonzeroDropped(held.weight, held.mask);
    if (breach.empty() && !DropsNothing(held)) {
      breach = PatternBreach(held.weight, held.mask, held.layer.view, *settings_.pattern);
    }
    if (!breach.empty()) return fmt::format("'{}': {}", held.layer.name, breach);
  }
  return "";
}

double MaskKeeper::Sparsity() const {
  std::int64_t elements = 0;
  std::int64_t kept = 0;
  for (const HeldWeight& held : weights_) {
    if (!held.refusal.empty()) continue;
    elements += held.mask.numel();
    kept += held.mask.sum().item<std::int64_t>();
  }
  return elements == 0 ? 0.0 : 1.0 - static_cast<double>(kept) / static_cast<double>(elements);
}

}  // namespace espalier::train
