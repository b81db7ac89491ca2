// The part of a program that runs layers together, stripe by stripe.
#include <algorithm>
#include <limits>
#include <utility>

#include "espalier/base/isa.h"
#include "runtime/fused.h"
#include "runtime/program.h"
#include "runtime/program_context.h"
#include "runtime/stripe_plan.h"

namespace espalier::runtime {
namespace {

// Stripes have to win by this much: the clock is not better than that.
constexpr double kClearWin = 0.98;
// Runs with and as many without stripes, of which the quickest count.
constexpr int kStripeTrials = 3;

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

void Program::SetGroups(std::vector<StripeGroup> groups) {
  if (groups.empty() && groups_.empty()) return;
  groups_ = std::move(groups);
  for (Step& step : steps_) step.group = -1;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (const std::size_t i : groups_[g].steps) steps_[i].group = static_cast<int>(g);
  }
  Plan();
}

// Least seconds of each group's steps, in place, in the whole network: what else lies in the caches
// decides.
std::vector<double> Program::TimeGroups(const std::vector<StripeGroup>& groups,
                                        const std::function<void()>& feed) {
  std::vector<double> least(groups.size(), std::numeric_limits<double>::infinity());
  for (int trial = 0; trial < kStripeTrials; ++trial) {
    feed();
    RunTimed();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      double seconds = 0;
      for (const std::size_t i : groups[g].steps) seconds += steps_[i].seconds;
      least[g] = std::min(least[g], seconds);
    }
  }
  return least;
}

void Program::ChooseStripes(const std::function<void()>& feed) {
  const SessionOptions& options = environment_.options;
  if (HasChoices(options)) {
    return SetGroups(ChosenStripeGroups(slots_, steps_, outputs_, options));
  }
  std::vector<StripeGroup> found = FindStripeGroups(slots_, steps_, outputs_, options.threads);
  if (!options.tune || found.empty()) return SetGroups(std::move(found));
  const std::vector<double> apart = TimeGroups(found, feed);
  SetGroups(found);
  const std::vector<double> striped = TimeGroups(found, feed);
  std::vector<StripeGroup> faster;
  for (std::size_t g = 0; g < found.size(); ++g) {
    if (striped[g] < kClearWin * apart[g]) faster.push_back(std::move(found[g]));
  }
  SetGroups(std::move(faster));
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
