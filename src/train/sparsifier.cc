#include "espalier/train/sparsifier.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "espalier/base/error.h"
#include "train/mask_keeper.h"
#include "train/module_layers.h"
#include "train/torch_runtime.h"

namespace espalier::train {
namespace {

[[noreturn]] void WrongUse(const std::string& text) {
  throw Error(ErrorCode::kInvalidArgument, text);
}

template <class Work>
auto Guarded(const char* what, Work&& work) {
  return WithTorchErrors(ErrorCode::kInvalidArgument, what, std::forward<Work>(work));
}

MaskSettings SettingsOf(const SparsifierRecipe& recipe) {
  MaskSettings settings;
  settings.pattern = recipe.patterns.Make(recipe.pattern);
  settings.criterion = recipe.criteria.Make(recipe.criterion, recipe.seed);
  settings.keep_dense = recipe.allow_recompute_mask;
  PruneOptions& prune = settings.prune;
  if (!recipe.only.empty()) prune.selection.only = ParseLayerTerms(recipe.only);
  if (!recipe.skip.empty()) prune.selection.skip = ParseLayerTerms(recipe.skip);
  prune.alignment = recipe.alignment;
  prune.scope = recipe.scope;
  prune.ratios = recipe.ratios;
  prune.max_layer_sparsity = recipe.max_layer_sparsity;
  prune.min_weights_per_channel = recipe.min_weights_per_channel;
  prune.threads = recipe.threads;
  return settings;
}

// The rest of the recipe Prune() checks when masks are computed; what it would refuse then is
// refused now.
void CheckAmounts(const SparsifierRecipe& recipe, const Pattern& pattern) {
  const bool has_amount = recipe.sparsity || recipe.threshold;
  if (recipe.schedule && has_amount) {
    WrongUse("the recipe has a schedule, which sets the amount, and a sparsity or threshold");
  }
  if (pattern.kind() == Pattern::Kind::kPerGroup) {
    if (!has_amount && recipe.ratios.empty() && recipe.scope == RankScope::kLayer) return;
    WrongUse(
        fmt::format("pattern {} has its ratio built in: it takes no sparsity, ratios, threshold or "
                    "global scope",
                    pattern.Name()));
  }
  if (!recipe.schedule && !has_amount && recipe.ratios.empty()) {
    WrongUse(fmt::format("pattern {} needs a sparsity, a threshold or a schedule", pattern.Name()));
  }
}

bool Trains(const torch::optim::Optimizer& optimizer, const at::Tensor& weight) {
  return std::ranges::any_of(optimizer.param_groups(), [&](const auto& group) {
    return std::ranges::any_of(group.params(),
                               [&](const at::Tensor& each) { return each.is_same(weight); });
  });
}

std::vector<Layer> LayersOf(const std::vector<ModuleWeight>& weights) {
  std::vector<Layer> layers;
  for (const ModuleWeight& weight : weights) layers.push_back(weight.layer);
  return layers;
}

std::vector<at::Tensor> TensorsOf(const std::vector<ModuleWeight>& weights) {
  std::vector<at::Tensor> tensors;
  for (const ModuleWeight& weight : weights) tensors.push_back(weight.weight);
  return tensors;
}

// Names of apex ASP's buffers, for the parameter `weight`.
std::string MaskName(const std::string& parameter) {
  return fmt::format("__{}_mma_mask", parameter);
}
std::string PrunedName(const std::string& parameter) {
  return fmt::format("__{}_mma_pruned_p", parameter);
}

}  // namespace

struct Sparsifier::State {
  State(torch::nn::Module& module, torch::optim::Optimizer& its_optimizer,
        const SparsifierRecipe& its_recipe)
      : recipe(its_recipe),
        optimizer(its_optimizer),
        found(FindModuleWeights(module)),
        keeper(LayersOf(found), TensorsOf(found), SettingsOf(recipe)),
        warnings(keeper.warnings()) {
    const Pattern& pattern = *keeper.settings().pattern;
    CheckAmounts(recipe, pattern);
    if (!recipe.schedule) return;
    schedule.emplace(*recipe.schedule);
    CheckScheduleFits(*schedule, pattern);
  }

  void NeedModel(const char* call) const {
    if (!model_ready) WrongUse(fmt::format("call InitModel() before {}()", call));
  }

  MaskAmount CurrentAmount() const {
    if (schedule) return AmountOf(*schedule, schedule->At(steps), *keeper.settings().pattern);
    return {recipe.sparsity, recipe.threshold, 1.0};
  }

  PruneReport Compute() {
    PruneReport report = keeper.Compute(CurrentAmount());
    keeper.MaskOptimizerState(optimizer);
    computed_for = steps;
    return report;
  }

  // Masks of the current step, unless they are there.
  void FollowSchedule() {
    if (schedule && computed_for != steps && schedule->At(steps).recompute) Compute();
  }

  SparsifierRecipe recipe;
  torch::optim::Optimizer& optimizer;
  std::vector<ModuleWeight> found;
  MaskKeeper keeper;
  std::optional<SparsitySchedule> schedule;
  std::vector<std::string> warnings;
  bool model_ready = false;
  bool optimizer_ready = false;
  std::int64_t steps = 0;
  std::int64_t computed_for = -1;  // the step whose masks are there; -1: none
};

Sparsifier::Sparsifier(torch::nn::Module& module, torch::optim::Optimizer& optimizer,
                       const SparsifierRecipe& recipe)
    : state_(Guarded("choosing the layers",
                     [&] { return std::make_unique<State>(module, optimizer, recipe); })) {}
Sparsifier::~Sparsifier() = default;
Sparsifier::Sparsifier(Sparsifier&&) noexcept = default;
Sparsifier& Sparsifier::operator=(Sparsifier&&) noexcept = default;

void Sparsifier::InitModel() {
  State& state = *state_;
  if (state.model_ready) WrongUse("InitModel() was called before");
  const std::vector<HeldWeight>& held = state.keeper.weights();
  for (std::size_t i = 0; i < held.size(); ++i) {
    const ModuleWeight& weight = state.found[i];
    if (!held[i].refusal.empty()) continue;
    if (weight.owner->named_buffers(false).contains(MaskName(weight.parameter))) {
      WrongUse(fmt::format("'{}' has a mask already, of another Sparsifier", weight.layer.weight));
    }
  }
  Guarded("registering the masks", [&] {
    for (std::size_t i = 0; i < held.size(); ++i) {
      const ModuleWeight& weight = state.found[i];
      if (!held[i].refusal.empty()) continue;
      weight.owner->register_buffer(MaskName(weight.parameter), held[i].mask);
      if (!held[i].aside.defined()) continue;
      weight.owner->register_buffer(PrunedName(weight.parameter), held[i].aside);
    }
  });
  state.model_ready = true;
}

void Sparsifier::InitOptimizer() {
  State& state = *state_;
  state.NeedModel("InitOptimizer");
  if (state.optimizer_ready) WrongUse("InitOptimizer() was called before");
  for (const HeldWeight& held : state.keeper.weights()) {
    if (!held.refusal.empty() || Trains(state.optimizer, held.weight)) continue;
    state.warnings.push_back(fmt::format("the optimizer does not have '{}'", held.layer.weight));
  }
  state.optimizer_ready = true;
}

PruneReport Sparsifier::ComputeMasks() {
  state_->NeedModel("ComputeMasks");
  return Guarded("computing the masks", [&] { return state_->Compute(); });
}

void Sparsifier::PruneTrainedModel() {
  InitModel();
  InitOptimizer();
  if (!state_->schedule || state_->schedule->At(state_->steps).recompute) ComputeMasks();
}

at::Tensor Sparsifier::Step(torch::optim::Optimizer::LossClosure closure) {
  State& state = *state_;
  if (!state.optimizer_ready) WrongUse("call InitOptimizer() before Step()");
  return Guarded("a step of the optimizer", [&] {
    state.FollowSchedule();
    state.keeper.MaskGradients();
    torch::optim::Optimizer::LossClosure masked;
    if (closure) {
      masked = [&] {
        at::Tensor loss = closure();
        state.keeper.MaskGradients();
        return loss;
      };
    }
    at::Tensor loss = state.optimizer.step(masked);
    state.keeper.MaskWeights();
    ++state.steps;
    state.FollowSchedule();  // so that the next gradients are those of the masked weights
    return loss;
  });
}

void Sparsifier::MaskGradients() {
  state_->NeedModel("MaskGradients");
  Guarded("masking the gradients", [&] { state_->keeper.MaskGradients(); });
}

void Sparsifier::RestorePrunedWeights() {
  Guarded("restoring the weights", [&] { state_->keeper.RestoreDense(); });
}

bool Sparsifier::IsEnabled() const { return Sparsity() > 0; }

std::string Sparsifier::Verify() const {
  return Guarded("checking the weights", [&] { return state_->keeper.Verify(); });
}

std::vector<SparsifierLayer> Sparsifier::Layers() const {
  return Guarded("listing the layers", [&] {
    std::vector<SparsifierLayer> layers;
    for (const HeldWeight& held : state_->keeper.weights()) {
      SparsifierLayer layer{held.layer.name,  held.layer.weight,   held.layer.op,
                            held.layer.shape, held.mask.defined(), held.refusal};
      if (layer.masked) {
        layer.elements = held.mask.numel();
        layer.dropped = layer.elements - held.mask.sum().item<std::int64_t>();
      }
      layers.push_back(std::move(layer));
    }
    return layers;
  });
}

double Sparsifier::Sparsity() const {
  return Guarded("counting zeros", [&] { return state_->keeper.Sparsity(); });
}

const std::vector<std::string>& Sparsifier::warnings() const noexcept { return state_->warnings; }

std::int64_t Sparsifier::steps() const noexcept { return state_->steps; }

void Sparsifier::SetSteps(std::int64_t steps) {
  if (steps < 0) WrongUse(fmt::format("{} steps done", steps));
  state_->steps = state_->computed_for = steps;
}

}  // namespace espalier::train
