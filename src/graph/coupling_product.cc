#include "graph/coupling_product.h"

#include <algorithm>
#include <set>
#include <utility>

namespace espalier::coupling {

std::vector<std::uint32_t> Projected(const LabelSpace& space, const LabelSpace& facet) {
  std::vector<std::uint32_t> strides(space.labels.size(), 0);
  std::uint32_t stride = 1;
  for (std::size_t i = facet.labels.size(); i-- > 0;) {
    const auto at = std::ranges::find(space.labels, facet.labels[i]) - space.labels.begin();
    strides[static_cast<std::size_t>(at)] = stride;
    stride *= static_cast<std::uint32_t>(facet.sizes[i]);
  }
  std::vector<std::uint32_t> projected(space.Count());
  std::vector<std::int64_t> index(space.labels.size(), 0);
  std::uint32_t at = 0;
  for (std::uint32_t& place : projected) {
    place = at;
    for (std::size_t k = index.size(); k-- > 0;) {
      at += strides[k];
      if (++index[k] < space.sizes[k]) break;
      at -= strides[k] * static_cast<std::uint32_t>(index[k]);
      index[k] = 0;
    }
  }
  return projected;
}

namespace {

bool IsPrefix(const std::vector<int>& part, const std::vector<int>& whole) {
  return part.size() < whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

}  // namespace

std::size_t LabelSpace::Count() const {
  std::size_t count = 1;
  for (const std::int64_t size : sizes) {
    // Far above what AddFacet() takes, far below what overflows.
    constexpr std::size_t kMany = std::size_t{1} << 31;
    const auto factor = static_cast<std::size_t>(size);
    count = factor > kMany / count ? kMany : count * factor;
  }
  return count;
}

void ProductTies::Run() {
  if (!FindSizes()) {
    ties_.spoiled_ = true;
    return;
  }
  FindParts();
  std::set<int> done;
  for (const auto& [label, size] : sizes_) {
    if (size > 1 && done.insert(RootOf(label)).second) JoinComponent(RootOf(label));
  }
  TreatAxes();
}

// False if the shapes are not known well enough to say anything.
bool ProductTies::FindSizes() {
  const auto see = [this](const Dims& dims, const Labels& labels) {
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (labels[i] == kApart) continue;
      std::int64_t& size = sizes_.try_emplace(labels[i], 1).first->second;
      // -1: not known, or shapes that do not fit.
      if (dims[i] < 1 || (size > 1 && dims[i] > 1 && dims[i] != size)) size = -1;
      if (size >= 0) size = std::max(size, dims[i]);
    }
  };
  for (const Operand& operand : product_.inputs) {
    const Dims* dims = ties_.In(operand.input);
    if (dims == nullptr || dims->size() != operand.labels.size()) return false;
    std::set<int> seen;
    for (const int label : operand.labels) {
      if (label != kApart && !seen.insert(label).second) return false;
    }
    see(*dims, operand.labels);
  }
  if (!product_.output) return true;
  const Dims* dims = ties_.Out(*product_.output);
  if (dims == nullptr || dims->size() != product_.kept.size()) return false;
  see(*dims, product_.kept);
  for (std::size_t i = 0; i < dims->size(); ++i) {
    if (product_.kept[i] != kApart && (*dims)[i] != sizes_[product_.kept[i]]) {
      sizes_[product_.kept[i]] = -1;
    }
  }
  return true;
}

int ProductTies::RootOf(int label) {
  const auto it = parent_.find(label);
  return it == parent_.end() ? label : RootOf(it->second);
}

void ProductTies::FindParts() {
  for (const Operand& operand : product_.inputs) {
    Value* value = ties_.InputAt(operand.input);
    std::set<int> seen;
    for (std::size_t i = 0; i < operand.labels.size(); ++i) {
      const int label = operand.labels[i];
      if (label == kApart || sizes_[label] < 2 || (*value->dims)[i] < 2) continue;
      Slot& slot = value->slots[i];
      if (slot.state == Slot::State::kFacet && !seen.insert(slot.facet).second) continue;
      Part part;
      part.value = value;
      part.axis = i;
      part.space.labels = {label};
      part.space.sizes = {sizes_[label]};
      if (slot.state == Slot::State::kFacet && !ReadFacet(operand, slot.facet, &part)) continue;
      part.passes = operand.passes;
      for (const int other : part.space.labels) {
        if (RootOf(other) != RootOf(label)) parent_[RootOf(other)] = RootOf(label);
      }
      parts_.push_back(std::move(part));
    }
  }
}

// A facet of which the product speaks only in part stays untreated: it will be held.
bool ProductTies::ReadFacet(const Operand& operand, int facet, Part* part) {
  part->facet = facet;
  part->space = {};
  const Facet& at = ties_.elements_->At(facet);
  for (const std::size_t axis : at.axes) {
    const int label = operand.labels[axis];
    if (label != kApart && sizes_[label] > 1) {
      part->space.labels.push_back(label);
      part->space.sizes.push_back(sizes_[label]);
    }
  }
  if (part->space.labels.size() == at.axes.size()) return true;
  // Whatever else the product says of the other axes must know that these stay in place.
  ties_.elements_->Hold(facet, ties_.fallback_);
  for (std::size_t i = 0; i < part->space.labels.size(); ++i) {
    Part held;
    held.value = part->value;
    held.space.labels = {part->space.labels[i]};
    held.space.sizes = {part->space.sizes[i]};
    held.held = ties_.fallback_;
    held.is_held = true;
    parts_.push_back(std::move(held));
  }
  return false;
}

// Labels of a component: those of the output in its order, then the reduced ones.
void ProductTies::JoinComponent(int root) {
  LabelSpace kept;
  std::vector<std::size_t> axes;
  for (std::size_t i = 0; i < product_.kept.size(); ++i) {
    const int label = product_.kept[i];
    if (label == kApart || sizes_[label] < 2 || RootOf(label) != root) continue;
    kept.Add(label, sizes_[label]);
    axes.push_back(i);
  }
  LabelSpace all = kept;
  for (const auto& [label, size] : sizes_) {
    if (size < 2 || RootOf(label) != root) continue;
    if (std::ranges::find(all.labels, label) == all.labels.end()) all.Add(label, size);
  }
  const bool reduces = all.labels.size() > kept.labels.size();
  std::vector<Part*> parts;
  for (Part& part : parts_) {
    if (RootOf(part.space.labels.front()) == root) parts.push_back(&part);
  }
  if (!reduces && AllHeld(parts, axes)) return;
  if (reduces && kept.labels.empty() && product_.inputs.size() == 1) return Touch(parts);
  const int out = kept.labels.empty() ? kNoFacet : MakeOut(kept, axes);
  const int inner = reduces ? ties_.elements_->AddFacet(all.Count()) : kNoFacet;
  if (reduces && product_.layer) ties_.elements_->At(inner).summed = true;
  if (reduces && out != kNoFacet) ties_.Own(out, inner, Projected(all, kept));
  for (Part* part : parts) {
    const bool sums = std::ranges::any_of(part->space.labels, [&kept](int label) {
      return std::ranges::find(kept.labels, label) == kept.labels.end();
    });
    Attach(part, sums ? all : kept, sums ? inner : out, sums);
  }
}

int ProductTies::MakeOut(const LabelSpace& kept, const std::vector<std::size_t>& axes) {
  if (!product_.output) return ties_.elements_->AddFacet(kept.Count());
  return ties_.Make(*product_.output, axes);
}

// Whether nothing can move; then neither the output nor a constant needs elements.
bool ProductTies::AllHeld(const std::vector<Part*>& parts, const std::vector<std::size_t>& axes) {
  const Part* first = nullptr;
  for (const Part* part : parts) {
    if (part->facet != kNoFacet) return false;
    if (first == nullptr && IsHeld(*part)) first = part;
  }
  if (first == nullptr) return parts.empty();
  const Reason reason = HeldBy(*first);
  for (const Part* part : parts) {
    if (!IsHeld(*part)) ties_.HoldAxis(part->value, part->axis, reason);
  }
  for (const std::size_t axis : axes) {
    if (!product_.output) continue;
    Slot& slot = ties_.OutputAt(*product_.output)->slots[axis];
    if (slot.state == Slot::State::kHeld) slot.reason = reason;  // nearer to the cause
  }
  return true;
}

bool ProductTies::IsHeld(const Part& part) const {
  return part.is_held ||
         (part.facet == kNoFacet && part.value->slots[part.axis].state == Slot::State::kHeld);
}

Reason ProductTies::HeldBy(const Part& part) const {
  return part.is_held ? part.held : part.value->slots[part.axis].reason;
}

// Gives a constant's axis its facet, or one of its own to a held axis.
int ProductTies::FacetOf(Part* part) {
  if (part->facet != kNoFacet) return part->facet;
  if (IsHeld(*part)) {
    const int facet = ties_.elements_->AddFacet(part->space.Count());
    ties_.elements_->Hold(facet, HeldBy(*part));
    return facet;
  }
  Slot& slot = part->value->slots[part->axis];
  if (slot.state == Slot::State::kFresh) {
    const int value = static_cast<int>(part->value - ties_.values_->data());
    slot.state = Slot::State::kFacet;
    slot.facet = ties_.elements_->AddFacet(part->space.Count(), value, {part->axis});
  }
  return slot.facet;
}

void ProductTies::Touch(const std::vector<Part*>& parts) {
  for (Part* part : parts) {
    if (!IsHeld(*part)) FacetOf(part);
  }
}

void ProductTies::Attach(Part* part, const LabelSpace& space, int target, bool sums) {
  if (target == kNoFacet) return;
  const int facet = FacetOf(part);
  if (sums && product_.layer) ties_.elements_->At(facet).summed = true;
  std::vector<std::uint32_t> projected = Projected(space, part->space);
  if (!sums && IsPrefix(part->space.labels, space.labels)) {
    return ties_.Own(facet, target, std::move(projected));
  }
  coupling::Tie tie{facet, target, {}, part->passes};
  if (part->space.labels != space.labels) {
    for (std::uint32_t i = 0; i < projected.size(); ++i) tie.pairs.push_back({projected[i], i});
  }
  ties_.elements_->Join(std::move(tie));
}

void ProductTies::TreatAxes() {
  for (const Operand& operand : product_.inputs) {
    ties_.mentioned_[operand.input] = true;
    for (std::size_t i = 0; i < operand.labels.size(); ++i) {
      const int label = operand.labels[i];
      if (label == kApart) continue;
      ties_.treated_[operand.input][i] = true;
      if (sizes_[label] < 0) ties_.HoldAxis(ties_.InputAt(operand.input), i, ties_.fallback_);
    }
  }
  if (product_.output) ties_.made_[*product_.output] = true;
}

}  // namespace espalier::coupling
