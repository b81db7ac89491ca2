#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/graph.h"
#include "graph/value_fact.h"

namespace espalier::shapes {

/// A node with what is known of its inputs: all that a rule sees. Reading what is absent or has the
/// wrong type gives nothing.
class NodeView {
 public:
  /// @param inputs  One entry an input of the node; null if it is left out or unknown.
  NodeView(const Node& node, std::vector<const ValueFact*> inputs)
      : node_(&node), inputs_(std::move(inputs)) {}

  const Node& node() const { return *node_; }
  std::size_t InputCount() const { return node_->inputs.size(); }
  std::size_t OutputCount() const { return node_->outputs.size(); }

  /// Whether the node names an input `i`, known or not.
  bool HasInput(std::size_t i) const;
  const Shape& InputDims(std::size_t i) const;
  /// Same, if the rank is the given one.
  const Dims* InputOfRank(std::size_t i, std::size_t rank) const;
  const SmallTensor* Elements(std::size_t i) const;
  /// Elements of an integer scalar or vector; some may be kUnknownInt.
  std::optional<Dims> Ints(std::size_t i) const;
  /// Same, if all are known.
  std::optional<Dims> KnownInts(std::size_t i) const;
  /// The element of an integer tensor with exactly one.
  std::optional<std::int64_t> OneInt(std::size_t i) const;
  /// Elements of a float vector; some may be NaN.
  std::optional<std::vector<double>> Floats(std::size_t i) const;
  /// A shape given as an integer vector: unknown or negative elements become kUnknownDim.
  Shape ShapeFromInts(std::size_t i) const;

  bool HasAttribute(const std::string& name) const { return node_->attributes.contains(name); }
  std::optional<std::int64_t> Int(const std::string& name, std::int64_t fallback) const;
  std::optional<Dims> IntList(const std::string& name, Dims fallback) const;
  std::optional<std::string> Text(const std::string& name, const char* fallback) const;

  /// For lists that moved from an attribute to an input in some opset.
  bool Gives(const std::string& attribute, std::size_t input) const;
  std::optional<Dims> AttributeOrInput(const std::string& attribute, std::size_t input) const;

 private:
  const Node* node_;
  std::vector<const ValueFact*> inputs_;
};

/// Gives the shapes of a node's outputs, in order; a shorter list leaves the others unknown.
using Rule = std::vector<Shape> (*)(const NodeView& view);

struct RuleEntry {
  std::string_view domain;  ///< Empty for ONNX's own.
  std::string_view op_type;
  Rule rule;
};

/// The rule of an operator, or null.
Rule FindRule(const Node& node);

// The table's parts, one a file.
std::span<const RuleEntry> ConvRules();         // shape_rules_conv.cc
std::span<const RuleEntry> MatrixRules();       // shape_rules_matrix.cc
std::span<const RuleEntry> ElementwiseRules();  // shape_rules_elementwise.cc
std::span<const RuleEntry> LayoutRules();       // shape_rules_layout.cc
std::span<const RuleEntry> IndexRules();        // shape_rules_index.cc
std::span<const RuleEntry> ReduceRules();       // shape_rules_reduce.cc

// What several rules share.

/// Index of an axis that may count from the end; nothing if it is out of range.
std::optional<std::size_t> AxisIndex(std::int64_t axis, std::size_t rank);

/// One flag an axis; nothing if an entry is out of range or comes twice.
std::optional<std::vector<bool>> AxisSet(const Dims& axes, std::size_t rank);

/// Numpy broadcasting; nothing if the shapes do not fit.
Shape Broadcast(const Dims& a, const Dims& b);

/// Target of Reshape: 0 copies, -1 or one unknown element takes what is left.
Shape ReshapedDims(const Shape& data, const Dims& target, bool allow_zero);

Shape SqueezedDims(const Dims& dims, const std::optional<Dims>& axes);
Shape UnsqueezedDims(const Dims& dims, const Dims& axes);

/// What Slice takes along one axis: `count` elements from `start` in steps of `step`.
struct SliceRange {
  std::int64_t start = 0;
  std::int64_t step = 1;
  std::int64_t count = kUnknownDim;
};

/// One range an axis of input 0; nothing if its rank or the axes are unknown.
std::optional<std::vector<SliceRange>> SliceRanges(const NodeView& view);

/// Sizes of Split's outputs along the axis; kUnknownDim for those that are not known.
Dims SplitSizes(const NodeView& view, std::int64_t dim);

/// Axes that a Reduce drops, one flag an axis; nothing if they are not known.
std::optional<std::vector<bool>> ReducedAxes(const NodeView& view, std::size_t rank);

/// Number of elements of Range; kUnknownDim if an input is not known.
std::int64_t RangeCount(const NodeView& view);

}  // namespace espalier::shapes
