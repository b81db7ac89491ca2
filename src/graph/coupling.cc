#include "espalier/graph/coupling.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "espalier/base/error.h"
#include "graph/coupling_result.h"
#include "graph/coupling_rules.h"
#include "graph/inferred_facts.h"
#include "graph/printable_name.h"
#include "graph/value_readers.h"

namespace espalier {
namespace {

using coupling::Elements;
using coupling::Slot;
using coupling::Value;

// The rules are those of these versions of ONNX.
constexpr std::int64_t kFirstOpset = 7;
constexpr std::int64_t kLastOpset = 24;

// What unknown dimensions of inputs count as, twice: what is found must not depend on it. Sizes of
// images are multiples of 32 times 7 (windows), those of other axes small and unlike each other.
constexpr std::int64_t kSizes[2][5] = {{2, 13, 448, 672, 896}, {3, 11, 672, 448, 224}};

class Walk {
 public:
  Walk(const Graph& graph, const Dims& unknown)
      : graph_(graph), facts_(InferMainFacts(graph, unknown)), readers_(graph) {}

  // Nothing if the graph is malformed.
  std::optional<std::vector<CouplingGroup>> Run();

 private:
  bool AddConstants();
  bool AddInputs();
  bool AddNode(const Node& node);
  void HoldOutside();
  int Add(const std::string& name, Slot slot);
  const shapes::ValueFact* FactOf(const std::string& name) const;
  std::optional<std::string> Unknown(const Node& node) const;
  coupling::Reason Held(const std::string& text) { return elements_.ReasonOf(text); }
  void HoldValue(int value, coupling::Reason reason);

  const Graph& graph_;
  MainFacts facts_;
  ValueReaders readers_;
  Elements elements_;
  std::vector<Value> values_;
  std::unordered_map<std::string, int> index_;
  std::unordered_set<std::string> functions_;
  std::int64_t opset_ = 0;
};

const shapes::ValueFact* Walk::FactOf(const std::string& name) const {
  const auto it = facts_.find(name);
  return it == facts_.end() ? nullptr : &it->second;
}

// -1 if there is a value of this name.
int Walk::Add(const std::string& name, Slot slot) {
  const int at = static_cast<int>(values_.size());
  if (!index_.emplace(name, at).second) return -1;
  Value value;
  if (const shapes::ValueFact* fact = FactOf(name)) value.dims = fact->dims;
  if (value.dims) value.slots.assign(value.dims->size(), slot);
  value.readers = readers_.Of(0, name).size();
  values_.push_back(std::move(value));
  return at;
}

bool Walk::AddConstants() {
  for (std::size_t c = 0; c < graph_.constants.size(); ++c) {
    const Constant& constant = graph_.constants[c];
    if (constant.scope != 0) continue;
    const int at = Add(constant.name, {Slot::State::kFresh, coupling::kNoFacet, 0});
    if (at < 0) return false;
    values_[static_cast<std::size_t>(at)].constant = static_cast<int>(c);
    values_[static_cast<std::size_t>(at)].from_constants = true;
  }
  return true;
}

// Many files list initializers as inputs too; those are constants, as for all of Espalier.
bool Walk::AddInputs() {
  for (const ValueInfo& input : graph_.scopes[0].inputs) {
    const auto it = index_.find(input.name);
    if (it != index_.end() && values_[static_cast<std::size_t>(it->second)].constant >= 0) continue;
    const auto reason = Held(fmt::format("they are the input '{}'", PrintableName(input.name)));
    if (Add(input.name, {Slot::State::kHeld, coupling::kNoFacet, reason}) < 0) return false;
  }
  return true;
}

// Why the rules do not apply to a node.
std::optional<std::string> Walk::Unknown(const Node& node) const {
  const std::string domain = node.domain.empty() ? "ai.onnx" : node.domain;
  if (functions_.contains(domain + "." + node.op_type) || coupling::FindRule(node) == nullptr) {
    return fmt::format("Espalier does not know {}", PrintableName(node.op_type));
  }
  if (!node.subgraphs.empty()) return fmt::format("{} has a subgraph", NodeText(node));
  if (opset_ < kFirstOpset || opset_ > kLastOpset) {
    return fmt::format("Espalier does not know opset {}", opset_);
  }
  return std::nullopt;
}

bool Walk::AddNode(const Node& node) {
  std::vector<int> inputs, outputs;
  std::vector<const shapes::ValueFact*> facts;
  bool constant = true;
  for (const std::string& name : node.inputs) {
    facts.push_back(FactOf(name));
    inputs.push_back(-1);
    if (name.empty()) continue;
    const auto it = index_.find(name);
    if (it == index_.end()) return false;
    inputs.back() = it->second;
    constant = constant && values_[static_cast<std::size_t>(it->second)].from_constants;
  }
  for (const std::string& name : node.outputs) {
    outputs.push_back(-1);
    if (name.empty()) continue;
    outputs.back() = Add(name, Slot());
    if (outputs.back() < 0) return false;
    values_.back().from_constants = constant && !node.inputs.empty();
  }
  const shapes::NodeView view(node, std::move(facts));
  coupling::NodeTies ties(view, opset_, &elements_, &values_, std::move(inputs),
                          std::move(outputs));
  if (const auto why = Unknown(node)) {
    ties.BecauseOf(*why);
  } else {
    coupling::FindRule(node)(ties);
  }
  ties.Finish();
  return true;
}

void Walk::HoldValue(int value, coupling::Reason reason) {
  for (Slot& slot : values_[static_cast<std::size_t>(value)].slots) {
    if (slot.state == Slot::State::kFacet) elements_.Hold(slot.facet, reason);
    if (slot.state == Slot::State::kFresh) slot = {Slot::State::kHeld, coupling::kNoFacet, reason};
  }
}

// What others than the main graph's nodes read.
void Walk::HoldOutside() {
  for (const auto& [name, readers] : readers_.All(0)) {
    const auto it = index_.find(name);
    if (it == index_.end()) continue;
    for (const ValueReaders::Reader& reader : readers) {
      if (reader.scope != 0) {
        HoldValue(it->second, Held(fmt::format("a subgraph reads '{}'", PrintableName(name))));
      } else if (reader.node == nullptr) {
        HoldValue(it->second, Held(fmt::format("they are the output '{}'", PrintableName(name))));
      }
    }
  }
}

std::optional<std::vector<CouplingGroup>> Walk::Run() {
  if (graph_.scopes.empty()) return std::nullopt;
  const auto opset = graph_.opsets.find("");
  opset_ = opset == graph_.opsets.end() ? 0 : opset->second;
  for (const Scope& scope : graph_.scopes) {
    if (scope.kind == Scope::Kind::kFunction) functions_.insert(scope.name);
  }
  if (!AddConstants() || !AddInputs()) return std::nullopt;
  HoldOutside();  // constants, before a rule gives them elements
  for (const Node& node : graph_.scopes[0].nodes) {
    if (!AddNode(node)) return std::nullopt;
  }
  HoldOutside();
  return coupling::GroupsOf(values_, &elements_);
}

bool HasUnknownInput(const Graph& graph) {
  for (const ValueInfo& input : graph.scopes[0].inputs) {
    if (!input.dims) continue;
    if (std::ranges::any_of(*input.dims, [](std::int64_t dim) { return dim < 1; })) return true;
  }
  return false;
}

bool SameCell(const ChannelCell& a, const ChannelCell& b) {
  return a.channels == b.channels && a.owner_group == b.owner_group &&
         a.owner_channel == b.owner_channel;
}

bool SameTensor(const CoupledTensor& a, const CoupledTensor& b) {
  return a.constant == b.constant && a.axes == b.axes && a.channels == b.channels &&
         a.reduced == b.reduced;
}

// Heads may be counted once a sample, so groups without tensors may differ in their channels.
bool SameGroup(const CouplingGroup& a, const CouplingGroup& b) {
  return (a.channels == b.channels || a.tensors.empty()) && a.refusal == b.refusal &&
         std::ranges::equal(a.cells, b.cells, &SameCell) &&
         std::ranges::equal(a.tensors, b.tensors, &SameTensor);
}

std::optional<std::vector<CouplingGroup>> Find(const Graph& graph) {
  if (graph.scopes.empty()) return std::vector<CouplingGroup>();
  if (!HasUnknownInput(graph)) return Walk(graph, {}).Run();
  auto first = Walk(graph, Dims(std::begin(kSizes[0]), std::end(kSizes[0]))).Run();
  const auto second = Walk(graph, Dims(std::begin(kSizes[1]), std::end(kSizes[1]))).Run();
  if (first && second && std::ranges::equal(*first, *second, &SameGroup)) return first;
  return Walk(graph, {}).Run();
}

}  // namespace

std::vector<CouplingGroup> FindCoupledChannels(const Graph& graph) {
  CouplingGroup nothing;
  try {
    if (std::optional<std::vector<CouplingGroup>> groups = Find(graph)) return std::move(*groups);
    nothing.refusal = "the network's nodes are not in order, or a name is given twice";
  } catch (const Error&) {
    nothing.refusal = "the network has too many channels to follow";
  }
  return {std::move(nothing)};
}

}  // namespace espalier
