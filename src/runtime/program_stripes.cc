// The part of a program that runs layers together, stripe by stripe.
#include <algorithm>
#include <limits>

#include "espalier/base/isa.h"
#include "runtime/fused.h"
#include "runtime/program.h"
#include "runtime/program_context.h"
#include "runtime/stripe_plan.h"

namespace espalier::runtime {
namespace {

// Stripes have to win by this much: the clock is not better than that.
constexpr double kClearWin = 0.98;

bool HasChoices(const SessionOptions& options) {
  return std::ranges::any_of(options.choices,
                             [](const KernelChoice& choice) { return choice.isa == ActiveIsa(); });
}

bool IsImage(const Value& value, std::size_t channels, std::size_t height, std::size_t width) {
  const std::size_t want[] = {1, channels, height, width};
  return value.dtype == DType::kFloat32 &&
         std::ranges::equal(value.dims, want, [](std::int64_t dim, std::size_t size) {
           return static_cast<std::size_t>(dim) == size;
         });
}

bool ResidualFits(const OpContext& context, const StripeShape& shape) {
  if (!context.HasInput(kResidualInput)) return true;
  return IsImage(context.Input(kResidualInput), shape.out_channels, shape.out_h, shape.out_w);
}

}  // namespace

void Program::MarkGroups() {
  for (Step& step : steps_) {
    step.group = -1;
    step.stripes.clear();
  }
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (const std::size_t i : groups_[g].steps) steps_[i].group = static_cast<int>(g);
    steps_[groups_[g].steps.front()].stripes = StripeText(groups_[g]);
  }
}

bool Program::FindStripes() {
  const SessionOptions& options = environment_.options;
  if (HasChoices(options)) {
    groups_ = ChosenStripeGroups(slots_, steps_, outputs_, options);
  } else {
    found_ = FindStripeGroups(slots_, steps_, outputs_, options.threads);
    best_apart_.assign(found_.size(), std::numeric_limits<double>::infinity());
    best_striped_ = best_apart_;
    if (options.tune) return !found_.empty();
    groups_ = found_;
  }
  if (groups_.empty()) return false;
  MarkGroups();
  Plan();
  return false;
}

void Program::SetStripes(bool on) {
  groups_ = on ? found_ : std::vector<StripeGroup>();
  MarkGroups();
  Plan();
}

void Program::KeepTimes() {
  std::vector<double>& best = groups_.empty() ? best_apart_ : best_striped_;
  for (std::size_t g = 0; g < found_.size(); ++g) {
    double seconds = 0;
    for (const std::size_t i : found_[g].steps) seconds += steps_[i].seconds;
    best[g] = std::min(best[g], seconds);
  }
}

void Program::KeepFasterStripes() {
  groups_.clear();
  for (std::size_t g = 0; g < found_.size(); ++g) {
    if (best_striped_[g] < kClearWin * best_apart_[g]) groups_.push_back(found_[g]);
  }
  found_.clear();
  MarkGroups();
  Plan();
}

// False if the values are not those that the group was planned for: then its steps run one by one.
bool Program::RunGroup(StripeGroup& group, bool timed) {
  if (!group.chain.Fits()) return false;
  Step& first = steps_[group.steps.front()];
  Step& last = steps_[group.steps.back()];
  StripeRun run;
  for (std::size_t i = 0; i < group.steps.size(); ++i) {
    const ProgramContext context(*this, steps_[group.steps[i]]);
    const StripeLayer* layer = steps_[group.steps[i]].op->AsStripeLayer();
    if (layer == nullptr || !ResidualFits(context, layer->Shape())) return false;
    run.operands[i] = layer->Operands(context);
  }
  ProgramContext from(*this, first);
  ProgramContext to(*this, last);
  const Value& in = from.Input(0);
  const StripeShape shape = first.op->AsStripeLayer()->Shape();
  if (!IsImage(in, shape.in_channels, shape.in_h, shape.in_w)) return false;
  run.in = in.As<float>();
  const Value& planned = slots_[static_cast<std::size_t>(last.outputs[0])].planned;
  if (planned.data == nullptr) return false;
  run.out = to.Output(0, DType::kFloat32, planned.dims).As<float>();
  double seconds[kMaxStripeLayers] = {};
  group.chain.Run(run, to.Scratch(group.chain.ScratchBytes()), timed ? seconds : nullptr);
  for (std::size_t i = 0; i < group.steps.size(); ++i) steps_[group.steps[i]].seconds = seconds[i];
  return true;
}

}  // namespace espalier::runtime
