#include "graph/coupling_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "graph/coupling_product.h"

namespace espalier::coupling {
namespace {

constexpr std::string_view kOnlyOne = "there is only one of them";

using RuleTable = std::unordered_map<std::string, Rule>;

RuleTable MakeTable() {
  RuleTable table;
  for (const auto part :
       {ElementwiseRules(), LayerRules(), LayoutRules(), NormRules(), IndexRules()}) {
    for (const RuleEntry& entry : part) {
      table.emplace(fmt::format("{}:{}", entry.domain, entry.op_type), entry.rule);
    }
  }
  return table;
}

}  // namespace

Rule FindRule(const Node& node) {
  static const RuleTable table = MakeTable();
  const auto it = table.find(fmt::format("{}:{}", node.domain, node.op_type));
  return it == table.end() ? nullptr : it->second;
}

NodeTies::NodeTies(const shapes::NodeView& view, std::int64_t opset, Elements* elements,
                   std::vector<Value>* values, std::vector<int> inputs, std::vector<int> outputs)
    : view_(view),
      opset_(opset),
      elements_(elements),
      values_(values),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      treated_(inputs_.size()),
      mentioned_(inputs_.size()),
      made_(outputs_.size()) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i] >= 0) treated_[i].assign(InputAt(i)->slots.size(), false);
  }
  Because("tells them apart by their position");
}

Value* NodeTies::InputAt(std::size_t i) {
  if (i >= inputs_.size() || inputs_[i] < 0) return nullptr;
  return &(*values_)[static_cast<std::size_t>(inputs_[i])];
}

Value* NodeTies::OutputAt(std::size_t o) {
  if (o >= outputs_.size() || outputs_[o] < 0) return nullptr;
  return &(*values_)[static_cast<std::size_t>(outputs_[o])];
}

const Dims* NodeTies::In(std::size_t i) const {
  const Value* value = const_cast<NodeTies*>(this)->InputAt(i);
  return value != nullptr && value->dims ? &*value->dims : nullptr;
}

const Dims* NodeTies::Out(std::size_t o) const {
  const Value* value = const_cast<NodeTies*>(this)->OutputAt(o);
  return value != nullptr && value->dims ? &*value->dims : nullptr;
}

void NodeTies::Because(const std::string& what) { BecauseOf(NodeText(view_.node()) + " " + what); }

void NodeTies::BecauseOf(const std::string& why) {
  fallback_ = elements_->ReasonOf(why);
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    if (outputs_[o] < 0) continue;
    for (Slot& slot : OutputAt(o)->slots) {
      if (slot.state == Slot::State::kHeld) slot.reason = fallback_;
    }
  }
}

void NodeTies::Join(const Product& product) { ProductTies(*this, product).Run(); }

NodeTies::Side NodeTies::Take(std::size_t input, std::size_t axis) {
  Value* value = InputAt(input);
  if (value == nullptr || axis >= value->slots.size()) return {kNoFacet, fallback_};
  mentioned_[input] = true;
  Slot& slot = value->slots[axis];
  const std::int64_t dim = (*value->dims)[axis];
  if (slot.state == Slot::State::kFresh && dim >= 2) {
    const int index = inputs_[input];
    slot.facet = elements_->AddFacet(static_cast<std::size_t>(dim), index, {axis});
    slot.state = Slot::State::kFacet;
  }
  if (slot.state != Slot::State::kFacet) {
    treated_[input][axis] = true;
    if (dim == 1) return {kNoFacet, elements_->ReasonOf(std::string(kOnlyOne))};
    return {kNoFacet, slot.state == Slot::State::kHeld ? slot.reason : fallback_};
  }
  if (elements_->At(slot.facet).axes.size() != 1) {
    HoldAxis(value, axis, fallback_);
    return {kNoFacet, fallback_};
  }
  treated_[input][axis] = true;
  return {slot.facet, 0};
}

int NodeTies::TakeWhole(std::size_t input, std::vector<std::size_t> axes) {
  const Value* value = InputAt(input);
  if (value == nullptr || value->constant < 0 || value->readers != 1) return kNoFacet;
  LabelSpace space;
  for (const std::size_t axis : axes) space.Add(0, (*value->dims)[axis]);
  return elements_->AddFacet(space.Count(), inputs_[input], std::move(axes));
}

int NodeTies::Make(std::size_t output, std::vector<std::size_t> axes) {
  Value* value = OutputAt(output);
  if (value == nullptr || !value->dims) return kNoFacet;
  made_[output] = true;
  LabelSpace space;
  for (const std::size_t axis : axes) {
    if (axis >= value->dims->size() || (*value->dims)[axis] < 2) return kNoFacet;
    space.Add(0, (*value->dims)[axis]);
  }
  const int facet = elements_->AddFacet(space.Count(), outputs_[output], axes);
  for (const std::size_t axis : axes) value->slots[axis] = {Slot::State::kFacet, facet, 0};
  return facet;
}

bool NodeTies::Moves(std::size_t input, std::size_t axis) const {
  const Value* value = const_cast<NodeTies*>(this)->InputAt(input);
  if (value == nullptr || axis >= value->slots.size()) return false;
  return value->slots[axis].state != Slot::State::kHeld;
}

std::vector<std::size_t> NodeTies::AxesWith(std::size_t input, std::size_t axis) const {
  const Value* value = const_cast<NodeTies*>(this)->InputAt(input);
  if (value == nullptr || axis >= value->slots.size()) return {axis};
  const Slot& slot = value->slots[axis];
  if (slot.state != Slot::State::kFacet) return {axis};
  return elements_->facets()[static_cast<std::size_t>(slot.facet)].axes;
}

void NodeTies::Select(std::size_t axis, const std::vector<std::int64_t>& indices,
                      std::size_t output, bool drops) {
  mentioned_[0] = true;
  made_[output] = true;
  if (!Moves(0, axis)) {
    treated_[0][axis] = true;  // stays in place, and so does the output's axis
    return;
  }
  const std::vector<std::size_t> axes = AxesWith(0, axis);
  const Side side = axes.size() == 1 ? Take(0, axis) : Side{InputAt(0)->slots[axis].facet, 0};
  LabelSpace in, picked;
  std::vector<std::size_t> out_axes;
  for (const std::size_t a : axes) {
    treated_[0][a] = true;
    const std::int64_t dim = (*InputAt(0)->dims)[a];
    in.Add(static_cast<int>(a), dim);
    picked.Add(static_cast<int>(a), a == axis ? static_cast<std::int64_t>(indices.size()) : dim);
    if (picked.sizes.back() < 2) continue;
    out_axes.push_back(drops && a > axis ? a - 1 : a);
  }
  std::vector<Pair> pairs;
  const std::size_t at = static_cast<std::size_t>(std::ranges::find(axes, axis) - axes.begin());
  std::uint32_t inner = 1;  // places of the axes behind the selected one
  for (std::size_t i = at + 1; i < in.sizes.size(); ++i) {
    inner *= static_cast<std::uint32_t>(in.sizes[i]);
  }
  const auto dim = static_cast<std::uint32_t>(in.sizes[at]);
  const auto count = static_cast<std::uint32_t>(indices.size());
  for (std::uint32_t i = 0; i < picked.Count(); ++i) {
    const auto index = static_cast<std::uint32_t>(indices[i / inner % count]);
    pairs.push_back({(i / inner / count * dim + index) * inner + i % inner, i});
  }
  Tie(side, out_axes.empty() ? kNoFacet : Make(output, out_axes), std::move(pairs), true);
}

void NodeTies::Tie(const Side& side, int facet, std::vector<Pair> pairs, bool passes) {
  if (pairs.empty()) return;
  for (const Pair& pair : pairs) {
    if (facet == kNoFacet) HoldOne(side, pair.a);
    if (facet != kNoFacet && side.facet == kNoFacet) elements_->HoldOne(facet, pair.b, side.held);
  }
  if (facet == kNoFacet || side.facet == kNoFacet) return;
  elements_->Join({side.facet, facet, std::move(pairs), passes});
}

void NodeTies::TieAll(const Side& side, int facet, bool passes) {
  if (side.facet == kNoFacet && facet == kNoFacet) return;
  if (facet == kNoFacet) return elements_->Hold(side.facet, fallback_);
  if (side.facet == kNoFacet) return elements_->Hold(facet, side.held);
  if (elements_->At(side.facet).count != elements_->At(facet).count) {
    elements_->Hold(side.facet, fallback_);
    return elements_->Hold(facet, fallback_);
  }
  elements_->Join({side.facet, facet, {}, passes});
}

void NodeTies::Own(int owner, int owned, std::vector<std::uint32_t> owner_of) {
  elements_->Own({owner, owned, std::move(owner_of)});
}

void NodeTies::Summed(int facet) {
  if (facet != kNoFacet) elements_->At(facet).summed = true;
}

void NodeTies::HoldOne(const Side& side, std::size_t position) {
  if (side.facet != kNoFacet) elements_->HoldOne(side.facet, position, fallback_);
}

void NodeTies::Parameter(std::size_t input) {
  if (input < mentioned_.size()) mentioned_[input] = true;
}

void NodeTies::Ignore(std::size_t input) {
  if (input >= mentioned_.size()) return;
  mentioned_[input] = true;
  treated_[input].assign(treated_[input].size(), true);
}

void NodeTies::Constant(std::size_t output) {
  if (output < made_.size()) made_[output] = true;
}

void NodeTies::HoldAxis(Value* value, std::size_t axis, Reason reason) {
  Slot& slot = value->slots[axis];
  if (slot.state == Slot::State::kFacet) return elements_->Hold(slot.facet, reason);
  if (slot.state == Slot::State::kFresh) slot = {Slot::State::kHeld, kNoFacet, reason};
}

bool NodeTies::SpokeOfAll() const {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i] < 0 || mentioned_[i]) continue;
    const Dims* dims = In(i);
    if (dims == nullptr || std::ranges::any_of(*dims, [](auto dim) { return dim != 1; })) {
      return false;
    }
  }
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    if (outputs_[o] >= 0 && !made_[o]) return false;
  }
  return !spoiled_;
}

void NodeTies::Finish() {
  if (!SpokeOfAll()) return HoldEverything();
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    for (std::size_t axis = 0; axis < treated_[i].size(); ++axis) {
      if (!treated_[i][axis]) HoldAxis(InputAt(i), axis, fallback_);
    }
  }
}

void NodeTies::HoldEverything() {
  for (const std::vector<int>* list : {&inputs_, &outputs_}) {
    for (const int index : *list) {
      if (index < 0) continue;
      Value& value = (*values_)[static_cast<std::size_t>(index)];
      for (std::size_t axis = 0; axis < value.slots.size(); ++axis) {
        HoldAxis(&value, axis, fallback_);
      }
    }
  }
}

Labels Counted(std::size_t count, int first) {
  Labels labels(count);
  std::iota(labels.begin(), labels.end(), first);
  return labels;
}

Labels Aligned(std::size_t rank, std::size_t out_rank) {
  if (rank > out_rank) return {};
  return Counted(rank, static_cast<int>(out_rank - rank));
}

void JoinBroadcast(NodeTies& ties, const std::vector<std::size_t>& inputs, std::size_t output) {
  const Dims* out = ties.Out(output);
  if (out == nullptr) return;
  Product product{{}, Counted(out->size()), output, false};
  for (const std::size_t i : inputs) {
    if (!ties.view().HasInput(i)) continue;
    const Dims* dims = ties.In(i);
    product.inputs.push_back(
        {i, dims == nullptr ? Labels() : Aligned(dims->size(), out->size()), true});
  }
  ties.Join(product);
}

void JoinOtherAxes(NodeTies& ties, const std::vector<bool>& apart, std::size_t output) {
  Labels labels = Counted(apart.size());
  for (std::size_t i = 0; i < apart.size(); ++i) {
    if (apart[i]) labels[i] = kApart;
  }
  ties.Join({{{0, labels, true}}, labels, output, false});
}

void JoinOver(NodeTies& ties, const std::vector<bool>& over) {
  Labels kept;
  for (std::size_t i = 0; i < over.size(); ++i) {
    if (!over[i]) kept.push_back(static_cast<int>(i));
  }
  ties.Join({{{0, Counted(over.size())}}, kept, std::nullopt, false});
}

}  // namespace espalier::coupling
