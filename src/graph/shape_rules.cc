#include "graph/shape_rules.h"

#include <algorithm>
#include <string>
#include <unordered_map>

namespace espalier::shapes {
namespace {

using RuleTable = std::unordered_map<std::string, Rule>;

std::string Key(std::string_view domain, std::string_view op_type) {
  std::string key(domain);
  key += ':';
  key += op_type;
  return key;
}

RuleTable MakeTable() {
  RuleTable table;
  for (const auto part : {ConvRules(), MatrixRules(), ElementwiseRules(), LayoutRules(),
                          IndexRules(), ReduceRules()}) {
    for (const RuleEntry& entry : part) table.emplace(Key(entry.domain, entry.op_type), entry.rule);
  }
  return table;
}

}  // namespace

Rule FindRule(const Node& node) {
  static const RuleTable table = MakeTable();
  const auto it = table.find(Key(node.domain, node.op_type));
  return it == table.end() ? nullptr : it->second;
}

bool NodeView::HasInput(std::size_t i) const {
  return i < node_->inputs.size() && !node_->inputs[i].empty();
}

const Shape& NodeView::InputDims(std::size_t i) const {
  static const Shape unknown;
  return i < inputs_.size() && inputs_[i] != nullptr ? inputs_[i]->dims : unknown;
}

const Dims* NodeView::InputOfRank(std::size_t i, std::size_t rank) const {
  const Shape& dims = InputDims(i);
  return dims && dims->size() == rank ? &*dims : nullptr;
}

const SmallTensor* NodeView::Elements(std::size_t i) const {
  return i < inputs_.size() && inputs_[i] != nullptr ? inputs_[i]->elements.get() : nullptr;
}

std::optional<Dims> NodeView::Ints(std::size_t i) const {
  const SmallTensor* tensor = Elements(i);
  if (tensor == nullptr || tensor->IsFloat() || tensor->dims.size() > 1) return std::nullopt;
  return tensor->ints;
}

std::optional<Dims> NodeView::KnownInts(std::size_t i) const {
  auto ints = Ints(i);
  if (ints && std::ranges::find(*ints, kUnknownInt) != ints->end()) return std::nullopt;
  return ints;
}

std::optional<std::int64_t> NodeView::OneInt(std::size_t i) const {
  const auto ints = KnownInts(i);
  if (!ints || ints->size() != 1) return std::nullopt;
  return ints->front();
}

std::optional<std::vector<double>> NodeView::Floats(std::size_t i) const {
  const SmallTensor* tensor = Elements(i);
  if (tensor == nullptr || !tensor->IsFloat() || tensor->dims.size() > 1) return std::nullopt;
  return tensor->floats;
}

Shape NodeView::ShapeFromInts(std::size_t i) const {
  if (auto ints = Ints(i)) {
    for (std::int64_t& dim : *ints) dim = std::max(dim, kUnknownDim);
    return ints;
  }
  const Dims* vector = InputOfRank(i, 1);
  if (vector == nullptr || vector->front() < 0) return std::nullopt;
  if (vector->front() > static_cast<std::int64_t>(kMaxRank)) return std::nullopt;
  return Dims(static_cast<std::size_t>(vector->front()), kUnknownDim);
}

std::optional<std::int64_t> NodeView::Int(const std::string& name, std::int64_t fallback) const {
  return IntAttribute(*node_, name, fallback);
}

std::optional<Dims> NodeView::IntList(const std::string& name, Dims fallback) const {
  return IntsAttribute(*node_, name, std::move(fallback));
}

std::optional<std::string> NodeView::Text(const std::string& name, const char* fallback) const {
  const auto it = node_->attributes.find(name);
  if (it == node_->attributes.end()) return fallback;
  const auto* text = std::get_if<std::string>(&it->second);
  return text == nullptr ? std::nullopt : std::optional<std::string>(*text);
}

bool NodeView::Gives(const std::string& attribute, std::size_t input) const {
  return HasAttribute(attribute) || HasInput(input);
}

std::optional<Dims> NodeView::AttributeOrInput(const std::string& attribute,
                                               std::size_t input) const {
  return HasAttribute(attribute) ? IntList(attribute, {}) : KnownInts(input);
}

std::optional<std::size_t> AxisIndex(std::int64_t axis, std::size_t rank) {
  const auto size = static_cast<std::int64_t>(rank);
  if (axis < -size || axis >= size) return std::nullopt;
  return static_cast<std::size_t>(axis < 0 ? axis + size : axis);
}

std::optional<std::vector<bool>> AxisSet(const Dims& axes, std::size_t rank) {
  std::vector<bool> set(rank);
  for (const std::int64_t axis : axes) {
    const auto index = AxisIndex(axis, rank);
    if (!index || set[*index]) return std::nullopt;
    set[*index] = true;
  }
  return set;
}

Shape Broadcast(const Dims& a, const Dims& b) {
  const Dims& longer = a.size() >= b.size() ? a : b;
  const Dims& shorter = a.size() >= b.size() ? b : a;
  Dims out = longer;
  const std::size_t shift = longer.size() - shorter.size();
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    std::int64_t& dim = out[shift + i];
    const std::int64_t other = shorter[i];
    if (dim == other || other == 1) continue;
    if (dim >= 0 && dim != 1 && other >= 0) return std::nullopt;
    // An unknown dimension is 1 or equal to the other one, so a known one above 1 decides.
    if (dim == 1 || other >= 0) dim = other;
  }
  return out;
}

}  // namespace espalier::shapes
