#include "runtime/storage.h"

#include <algorithm>

#include "runtime/memory_plan.h"

namespace espalier::runtime {
namespace {

// Slots as pieces of others: views of their source, inputs of a Concat of its output.
class Pieces {
 public:
  explicit Pieces(std::span<const Slot> slots) : slots_(slots), parts_(slots.size()) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].view_of >= 0) parts_[i] = {slots[i].view_of, slots[i].view_offset};
    }
  }

  struct Place {
    int root;
    std::size_t offset;
  };

  Place Find(int slot) const {
    Place place{slot, 0};
    while (parts_[At(place.root)].of >= 0) {
      place.offset += parts_[At(place.root)].offset;
      place.root = parts_[At(place.root)].of;
    }
    return place;
  }

  void Put(int root, int into, std::size_t offset) { parts_[At(root)] = {into, offset}; }

  const Slot& slot(int i) const { return slots_[At(i)]; }

 private:
  struct Part {
    int of = -1;
    std::size_t offset = 0;
  };
  static std::size_t At(int i) { return static_cast<std::size_t>(i); }

  std::span<const Slot> slots_;
  std::vector<Part> parts_;
};

// Whether a step of the plan writes the slot's own bytes.
std::vector<bool> WrittenByPlan(std::span<const Slot> slots, std::span<const Step> steps) {
  std::vector<bool> written(slots.size());
  for (const Step& step : steps) {
    if (step.skip) continue;
    for (const int id : step.outputs) {
      if (id < 0) continue;
      const Slot& slot = slots[static_cast<std::size_t>(id)];
      written[static_cast<std::size_t>(id)] =
          slot.constant < 0 && !slot.fixed && slot.view_of < 0 && slot.made;
    }
  }
  return written;
}

// Elements before the axis along which the inputs are joined; 1: each input is one run.
std::size_t OuterCount(const Step& step, const Slot& output) {
  std::int64_t axis = IntAttribute(*step.node, "axis", 1).value_or(0);
  const auto rank = static_cast<std::int64_t>(output.value.rank());
  if (axis < 0) axis += rank;
  std::size_t count = 1;
  for (std::int64_t i = 0; i < std::min(axis, rank); ++i) {
    count *= static_cast<std::size_t>(output.value.dims[static_cast<std::size_t>(i)]);
  }
  return count;
}

void PlaceInConcats(Pieces& pieces, std::span<const Step> steps, const std::vector<bool>& written) {
  for (const Step& step : steps) {
    if (step.skip || step.node->op_type != "Concat" || !step.node->domain.empty()) continue;
    const int out = step.outputs.empty() ? -1 : step.outputs[0];
    if (out < 0 || !written[static_cast<std::size_t>(out)]) continue;
    if (OuterCount(step, pieces.slot(out)) != 1) continue;
    std::size_t offset = 0;
    for (const int input : step.inputs) {
      if (input < 0) break;
      const std::size_t bytes = pieces.slot(input).value.Bytes();
      const Pieces::Place place = pieces.Find(input);
      const bool whole = place.offset == 0 && pieces.slot(place.root).value.Bytes() == bytes;
      if (whole && written[static_cast<std::size_t>(place.root)] && offset % kAlignment == 0 &&
          place.root != pieces.Find(out).root) {
        pieces.Put(place.root, out, offset);
      }
      offset += bytes;
    }
  }
}

}  // namespace

StoragePlan PlanStorage(std::span<const Slot> slots, std::span<const Step> steps,
                        std::span<const int> inputs, std::span<const int> outputs,
                        std::span<const StripeGroup> groups) {
  std::vector<bool> written = WrittenByPlan(slots, steps);
  for (const StripeGroup& group : groups) {
    for (std::size_t i = 0; i + 1 < group.steps.size(); ++i) {
      written[static_cast<std::size_t>(steps[group.steps[i]].outputs[0])] = false;
    }
  }
  Pieces pieces(slots);
  PlaceInConcats(pieces, steps, written);
  for (const int input : inputs) written[static_cast<std::size_t>(input)] = true;

  const int end = static_cast<int>(steps.size());
  std::vector<Lifetime> lives(slots.size(), Lifetime{0, end, -1});
  const auto touch = [&](int slot, int step) {
    if (slot < 0) return;
    Lifetime& life = lives[static_cast<std::size_t>(pieces.Find(slot).root)];
    life.first = std::min(life.first, step);
    life.last = std::max(life.last, step);
  };
  for (const int input : inputs) touch(input, -1);
  for (int i = 0; i < end; ++i) {
    const Step& step = steps[static_cast<std::size_t>(i)];
    if (step.skip) continue;
    for (const int slot : step.inputs) touch(slot, i);
    for (const int slot : step.outputs) touch(slot, i);
  }
  for (const int output : outputs) touch(output, end);
  // A group reads its inputs and writes its output from its first step to its last.
  for (const StripeGroup& group : groups) {
    for (const std::size_t i : group.steps) {
      for (const int at :
           {static_cast<int>(group.steps.front()), static_cast<int>(group.steps.back())}) {
        for (const int slot : steps[i].inputs) touch(slot, at);
        for (const int slot : steps[i].outputs) touch(slot, at);
      }
    }
  }

  std::vector<Lifetime> roots;
  std::vector<std::size_t> root_slots;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!written[i] || pieces.Find(static_cast<int>(i)).root != static_cast<int>(i)) continue;
    lives[i].bytes = slots[i].value.Bytes();
    roots.push_back(lives[i]);
    root_slots.push_back(i);
  }
  const MemoryPlan memory = PlanMemory(roots);
  StoragePlan plan{std::vector<std::size_t>(slots.size(), kNoStorage), memory.bytes};
  for (std::size_t r = 0; r < roots.size(); ++r) plan.offsets[root_slots[r]] = memory.offsets[r];
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!written[i]) continue;
    const Pieces::Place place = pieces.Find(static_cast<int>(i));
    plan.offsets[i] = plan.offsets[static_cast<std::size_t>(place.root)] + place.offset;
  }
  return plan;
}

}  // namespace espalier::runtime
