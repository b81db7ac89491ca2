#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/coupling_elements.h"
#include "graph/shape_rules.h"

namespace espalier::coupling {

/// What stands on one axis of a value.
struct Slot {
  enum class State {
    kHeld,   ///< Its positions stay where they are.
    kFresh,  ///< Of a constant that no rule has looked at yet.
    kFacet,
  };
  State state = State::kHeld;
  int facet = kNoFacet;
  Reason reason = 0;  ///< Of kHeld.
};

/// A value of the main graph.
struct Value {
  shapes::Shape dims;
  std::vector<Slot> slots;  ///< One an axis; none if the rank is unknown.
  int constant = -1;        ///< Index in Graph::constants.
  bool from_constants = false;
  std::size_t readers = 0;
};

/// A label for each axis of an input or output; axes with the same label are indexed together.
/// Axes with kApart are not spoken of.
using Labels = std::vector<int>;
inline constexpr int kApart = -1;

struct Operand {
  std::size_t input;
  Labels labels;
  bool passes = false;  ///< The output holds what this input holds.
};

/// An operation that is the same for all indices of its labels, like a sum of products. Labels of
/// inputs that are not among `kept` are summed or otherwise reduced, in any order.
struct Product {
  std::vector<Operand> inputs;
  Labels kept;                        ///< Labels of the output's axes.
  std::optional<std::size_t> output;  ///< Nothing: only says what belongs to what.
  bool layer = false;                 ///< Its reduced labels are a layer's input channels.
};

/// What a rule says of one node. What it does not speak of stays in place: an axis that no rule
/// treats is held; if it does not speak of an input or output at all, so are all the others.
class NodeTies {
 public:
  NodeTies(const shapes::NodeView& view, std::int64_t opset, Elements* elements,
           std::vector<Value>* values, std::vector<int> inputs, std::vector<int> outputs);

  const shapes::NodeView& view() const { return view_; }
  std::int64_t opset() const { return opset_; }
  /// Dimensions; null if the input or output is absent or its rank unknown.
  const Dims* In(std::size_t i) const;
  const Dims* Out(std::size_t o) const;
  bool HasOutput(std::size_t o) const { return o < outputs_.size() && outputs_[o] >= 0; }

  void Join(const Product& product);

  /// An axis of an input for ties one by one. Without a facet: `held` says why.
  struct Side {
    int facet = kNoFacet;
    Reason held = 0;
  };
  Side Take(std::size_t input, std::size_t axis);
  /// A facet over several axes of a constant that only this node reads.
  int TakeWhole(std::size_t input, std::vector<std::size_t> axes);
  /// Gives an axis of an output a facet; kNoFacet if it is shorter than 2 or of unknown length.
  int Make(std::size_t output, std::vector<std::size_t> axes);
  /// Whether an axis of an input may have places that move.
  bool Moves(std::size_t input, std::size_t axis) const;
  /// All axes of the facet on which an axis of an input stands.
  std::vector<std::size_t> AxesWith(std::size_t input, std::size_t axis) const;
  /// Output `output` takes the places `indices` along an axis of input 0; `drops` if it loses the
  /// axis. No Product may speak of AxesWith(0, axis), nor may a second axis of those be selected.
  void Select(std::size_t axis, const std::vector<std::int64_t>& indices, std::size_t output,
              bool drops = false);
  /// A facet of no value.
  int MakeOwner(std::size_t count) { return elements_->AddFacet(count); }
  /// Ties side a's position pair.a to position pair.b of the facet.
  void Tie(const Side& side, int facet, std::vector<Pair> pairs, bool passes = false);
  void TieAll(const Side& side, int facet, bool passes = false);
  void Own(int owner, int owned, std::vector<std::uint32_t> owner_of);
  void Summed(int facet);
  void HoldOne(const Side& side, std::size_t position);

  /// The node reads the input as numbers (a shape, indices) that must stay what they are.
  void Parameter(std::size_t input);
  /// The node reads nothing but the input's shape, or does not care for its order.
  void Ignore(std::size_t input);
  /// The output's elements do not depend on any order.
  void Constant(std::size_t output);
  Reason fallback() const { return fallback_; }
  /// What the rule said does not hold after all: everything stays in place.
  void Spoil() { spoiled_ = true; }
  /// Replaces the reason of what the rule leaves in place: "<node> <what>".
  void Because(const std::string& what);
  void BecauseOf(const std::string& why);

  /// Holds what the rule did not speak of.
  void Finish();

 private:
  friend class ProductTies;
  friend class ReshapeTies;
  Value* InputAt(std::size_t i);
  Value* OutputAt(std::size_t o);
  void HoldAxis(Value* value, std::size_t axis, Reason reason);
  void HoldEverything();
  bool SpokeOfAll() const;

  const shapes::NodeView& view_;
  std::int64_t opset_;
  Elements* elements_;
  std::vector<Value>* values_;
  std::vector<int> inputs_, outputs_;  // -1: absent or unknown
  std::vector<std::vector<bool>> treated_;
  std::vector<bool> mentioned_, made_;
  bool spoiled_ = false;  // a part of what the rule says could not be followed
  Reason fallback_;
};

using Rule = void (*)(NodeTies& ties);

struct RuleEntry {
  std::string_view domain;
  std::string_view op_type;
  Rule rule;
};

/// The rule of an operator, or null.
Rule FindRule(const Node& node);

// The table's parts, one a file.
std::span<const RuleEntry> ElementwiseRules();  // coupling_rules_elementwise.cc
std::span<const RuleEntry> LayerRules();        // coupling_rules_layers.cc
std::span<const RuleEntry> LayoutRules();       // coupling_rules_layout.cc
std::span<const RuleEntry> NormRules();         // coupling_rules_norm.cc
std::span<const RuleEntry> IndexRules();        // coupling_rules_index.cc

// What several rules share.

/// first, first + 1, ...
Labels Counted(std::size_t count, int first = 0);

/// Labels that line an input of `rank` up with the last axes of an output of `out_rank`.
Labels Aligned(std::size_t rank, std::size_t out_rank);

/// Output `output` has the axes of input 0, each index the same as there; others broadcast.
void JoinBroadcast(NodeTies& ties, const std::vector<std::size_t>& inputs, std::size_t output = 0);

/// Output 0 has the axes of input 0 and is the same for all indices of those that are not in
/// `apart`; those stay in place.
void JoinOtherAxes(NodeTies& ties, const std::vector<bool>& apart, std::size_t output = 0);

/// The node takes means, maxima or sums over some axes of input 0, each index alike.
void JoinOver(NodeTies& ties, const std::vector<bool>& over);

}  // namespace espalier::coupling
