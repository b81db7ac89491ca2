#include "graph/coupling_reshape.h"

#include <algorithm>
#include <utility>

namespace espalier::coupling {

void ReshapeTies::Run() {
  in_ = ties_.InputAt(0);
  out_ = ties_.OutputAt(0);
  if (in_ == nullptr || out_ == nullptr || !in_->dims || !out_->dims || !FindRuns()) return;
  ties_.mentioned_[0] = true;
  ties_.made_[0] = true;
  ties_.treated_[0].assign(ties_.treated_[0].size(), true);
  slots_ = in_->slots;
  Coarsen();
  MergeRuns();
  for (const AxisRun& run : runs_) TieRun(run);
}

bool ReshapeTies::FindRuns() {
  const Dims& in = *in_->dims;
  const Dims& out = *out_->dims;
  const auto known = [](const Dims& dims) {
    return shapes::KnownElements(dims).value_or(0) > 0;  // also no axis of length 0
  };
  if (!known(in) || !known(out)) return false;
  if (shapes::KnownElements(in) != shapes::KnownElements(out)) return false;
  AxisRun run;
  std::int64_t in_size = 1;
  std::int64_t out_size = 1;
  std::size_t i = 0;
  std::size_t o = 0;
  while (i < in.size() || o < out.size()) {
    // Both products are the same at the end, so the smaller one's side has axes left.
    if (in_size <= out_size && i < in.size()) {
      in_size *= in[i];
      if (in[i] > 1) run.in.push_back(i);
      ++i;
    } else {
      out_size *= out[o];
      if (out[o] > 1) run.out.push_back(o);
      ++o;
    }
    if (in_size == out_size && in_size > 1) {
      runs_.push_back(std::exchange(run, {}));
      in_size = out_size = 1;
    }
  }
  return run.in.empty() && run.out.empty();
}

// Pixel shuffle: [C, r, r, H, W] as [C, H, r, W, r] becomes [C, H * r, W * r]. Of a facet whose
// last axes share runs with others, the first ones move on: a channel with all its places.
void ReshapeTies::Coarsen() {
  std::vector<bool> mixed(slots_.size(), false);
  for (const AxisRun& run : runs_) {
    for (const std::size_t a : run.in) {
      mixed[a] = std::ranges::any_of(run.in, [this, a](std::size_t b) {
        return slots_[b].facet != slots_[a].facet || slots_[b].state != slots_[a].state;
      });
    }
  }
  for (std::size_t axis = 0; axis < slots_.size(); ++axis) {
    if (slots_[axis].state != Slot::State::kFacet || mixed[axis]) continue;
    const Facet facet = ties_.elements_->At(slots_[axis].facet);
    if (facet.axes.front() != axis || facet.axes.size() < 2) continue;
    const auto last = std::ranges::find_if(facet.axes, [&](std::size_t a) { return mixed[a]; });
    if (last == facet.axes.end() ||
        !std::all_of(last, facet.axes.end(), [&](std::size_t a) { return mixed[a]; })) {
      continue;
    }
    const std::vector<std::size_t> kept(facet.axes.begin(), last);
    std::uint32_t behind = 1;
    for (auto a = last; a != facet.axes.end(); ++a) {
      behind *= static_cast<std::uint32_t>((*in_->dims)[*a]);
      slots_[*a] = {Slot::State::kHeld, kNoFacet, ties_.fallback_};
    }
    const int coarse = ties_.elements_->AddFacet(facet.count / behind, -1, kept);
    std::vector<Pair> pairs;
    for (std::uint32_t i = 0; i < facet.count; ++i) pairs.push_back({i, i / behind});
    ties_.elements_->Join({slots_[axis].facet, coarse, std::move(pairs), false});
    for (const std::size_t a : kept) slots_[a] = {Slot::State::kFacet, coarse, 0};
  }
}

// A facet of several axes keeps its runs together; runs between them stay on their own, for the
// places of joined runs count on in the same order on both sides.
void ReshapeTies::MergeRuns() {
  const auto share = [this](const AxisRun& x, const AxisRun& y) {
    for (const std::size_t a : x.in) {
      if (slots_[a].state != Slot::State::kFacet) continue;
      for (const std::size_t b : y.in) {
        if (slots_[b].state == Slot::State::kFacet && slots_[a].facet == slots_[b].facet) {
          return true;
        }
      }
    }
    return false;
  };
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    for (std::size_t j = i + 1; j < runs_.size(); ++j) {
      if (!share(runs_[i], runs_[j])) continue;
      runs_[i].in.insert(runs_[i].in.end(), runs_[j].in.begin(), runs_[j].in.end());
      runs_[i].out.insert(runs_[i].out.end(), runs_[j].out.begin(), runs_[j].out.end());
      std::ranges::sort(runs_[i].in);
      std::ranges::sort(runs_[i].out);
      runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(j));
      j = i;  // the longer run may share a facet with one that was passed over
    }
  }
}

void ReshapeTies::TieRun(const AxisRun& run) {
  const int facet = MovableFacet(run);
  if (facet == kNoFacet) return;
  LabelSpace all;
  LabelSpace part;
  for (const std::size_t axis : run.in) all.Add(static_cast<int>(axis), (*in_->dims)[axis]);
  for (const std::size_t axis : ties_.elements_->At(facet).axes) {
    part.Add(static_cast<int>(axis), (*in_->dims)[axis]);
  }
  const std::vector<std::uint32_t> places = Projected(all, part);
  const std::size_t axes = AxesThatTell(run, facet, places);
  const auto split = run.out.begin() + static_cast<std::ptrdiff_t>(axes);
  const int made = ties_.Make(0, {run.out.begin(), split});
  if (made == kNoFacet) return;
  for (auto axis = split; axis != run.out.end(); ++axis) {
    out_->slots[*axis] = {Slot::State::kHeld, kNoFacet, ties_.fallback_};
  }
  const auto behind = static_cast<std::uint32_t>(places.size() / ties_.elements_->At(made).count);
  std::vector<Pair> pairs;
  for (std::uint32_t i = 0; i < places.size(); ++i) pairs.push_back({places[i], i / behind});
  ties_.Tie({facet, 0}, made, std::move(pairs), true);
}

// How many of the output's first axes in the run tell its channels apart. [G, C / G * H * W] as
// [C, H, W] has all places of a channel side by side again: the pixels are axes of their own then.
// @param places  Position of the facet at each index of the run.
std::size_t ReshapeTies::AxesThatTell(const AxisRun& run, int facet,
                                      const std::vector<std::uint32_t>& places) {
  Elements& elements = *ties_.elements_;
  const std::uint32_t first = elements.At(facet).first;
  std::size_t axes = run.out.size();
  std::size_t behind = 1;
  for (; axes > 1; --axes) {
    behind *= static_cast<std::size_t>((*out_->dims)[run.out[axes - 1]]);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::uint32_t leader = places[i / behind * behind];
      if (elements.ClassOf(first + places[i]) != elements.ClassOf(first + leader)) return axes;
    }
  }
  return axes;
}

// The one facet of the run that is not held already; holds what else is in the run.
int ReshapeTies::MovableFacet(const AxisRun& run) {
  Elements& elements = *ties_.elements_;
  std::vector<int> movable;
  std::vector<std::size_t> fresh;
  Reason reason = ties_.fallback_;
  for (const std::size_t axis : run.in) {
    const Slot& slot = slots_[axis];
    if (slot.state == Slot::State::kFresh) fresh.push_back(axis);
    if (slot.state == Slot::State::kHeld) reason = slot.reason;
    if (slot.state != Slot::State::kFacet || std::ranges::count(movable, slot.facet) > 0) continue;
    const Facet& facet = elements.At(slot.facet);
    bool moves = false;
    for (std::uint32_t i = 0; i < facet.count && !moves; ++i) {
      moves = elements.HeldBy(facet.first + i) == Elements::kFree;
    }
    if (moves) movable.push_back(slot.facet);
    if (!moves) reason = elements.HeldBy(facet.first);
  }
  if (!fresh.empty() && fresh.size() == run.in.size()) {
    LabelSpace space;
    for (const std::size_t axis : fresh) space.Add(0, (*in_->dims)[axis]);
    const int facet = elements.AddFacet(space.Count(), ties_.inputs_[0], fresh);
    for (const std::size_t axis : fresh) {
      slots_[axis] = in_->slots[axis] = {Slot::State::kFacet, facet, 0};
    }
    return facet;
  }
  if (movable.size() == 1) reason = ties_.fallback_;
  for (const std::size_t axis : fresh) ties_.HoldAxis(in_, axis, reason);
  if (movable.size() == 1) return movable.front();
  if (movable.size() > 1) reason = ties_.fallback_;
  HoldRun(run, reason);
  return kNoFacet;
}

void ReshapeTies::HoldRun(const AxisRun& run, Reason reason) {
  for (const std::size_t axis : run.in) {
    const Slot& slot = slots_[axis];
    if (slot.state == Slot::State::kFacet) ties_.elements_->Hold(slot.facet, reason);
    if (slot.state == Slot::State::kFresh) ties_.HoldAxis(in_, axis, reason);
  }
  for (const std::size_t axis : run.out) {
    out_->slots[axis] = {Slot::State::kHeld, kNoFacet, reason};
  }
}

}  // namespace espalier::coupling
