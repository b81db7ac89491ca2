#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"
#include "graph/computed_constants.h"
#include "graph/value_readers.h"

namespace espalier {

/// A tensor as a strided view of stored bytes: what is left of a constant after transposes and
/// reshapes. Strides count elements.
struct StridedArray {
  Dims dims;
  Dims strides;
};

/// Row-major strides.
StridedArray ContiguousArray(const Dims& dims);

/// Permutes axes as ONNX Transpose does.
/// @return  Nothing if `order` is not a permutation of the axes.
std::optional<StridedArray> Transposed(const StridedArray& array, const Dims& order);

/// Views the same elements with other dimensions, if that takes no copy.
/// @return  Nothing if the element counts differ or strides do not allow it.
std::optional<StridedArray> Reshaped(const StridedArray& array, const Dims& dims);

/// One step between a constant and a reader: a (de)quantization on the way.
struct QuantizationNode {
  int scope = 0;
  const Node* node = nullptr;
  StridedArray array;      ///< The constant as that node sees it.
  bool reordered = false;  ///< Whether it sees parts in another order than they are stored.
};

/// An axis of the stored constant whose parts a node sees in another order; parts begin at
/// multiples of `run`.
struct ReorderedAxis {
  Axis axis;
  std::int64_t run = 1;
};

/// One node that reads a constant, directly, through nodes that only move its elements, or (with
/// an obstacle, and only for weight inputs) through nodes that compute with constants only.
struct ConstantUse {
  int scope = 0;
  const Node* node = nullptr;                  ///< Null if `obstacle` is a graph output.
  int input = 0;                               ///< Which input of the node.
  StridedArray array;                          ///< How the node sees the constant.
  std::optional<QuantizationNode> dequantize;  ///< The first DequantizeLinear passed.
  std::optional<QuantizationNode> quantize;    ///< The first QuantizeLinear passed before it.
  /// Axes along which the node sees the parts of the constant in another order: the gates of
  /// PyTorch's LSTM are put in ONNX's order by Slice and Concat.
  std::vector<ReorderedAxis> reordered;
  /// Why `array` is not known, in words: the layout was lost on the way, another operator computes
  /// with the constant, it passes into or out of a subgraph, or it is a graph output.
  std::string obstacle;
  /// Whether a computation with other constants or a subgraph lies between: the constant may be
  /// something else than the weight, such as a mask or a factor.
  bool indirect = false;
  bool cut_or_joined = false;  ///< If so: whether that begins with Slice, Split, Gather or Concat.
};

/// Follows constants to their readers over all scopes of a graph, with ONNX's scoping rules.
class ConstantUses {
 public:
  explicit ConstantUses(const Graph& graph);

  /// All uses of constant `index`, in no particular order. Nodes that only ask for the shape are
  /// left out.
  std::vector<ConstantUse> Of(int index) const;

  /// Position of a node in the order of execution, with subgraphs right after their node.
  int OrderOf(const Node* node) const;

  const ConstantIndex& constants() const { return constants_; }

 private:
  using Reader = ValueReaders::Reader;
  struct SlicePart {  // one run of one axis
    std::int64_t axis, begin, end, size;
  };
  struct Step {
    int scope;
    std::string value;
    ConstantUse so_far;
  };
  // One walk from a constant to its readers.
  struct Walk {
    std::vector<ConstantUse> uses;
    std::vector<Step> steps;
    std::set<const Node*> passed;  // a malformed graph may have cycles
    std::map<const Node*, std::int64_t>
        concats;  // whether one puts parts together; each is looked at once
    std::set<std::pair<const Node*, int>> indirect;  // weight inputs found
  };

  void Number(int scope, int depth);
  void Visit(const Reader& reader, const Step& step, Walk* walk) const;
  bool VisitIndirect(const Reader& reader, const ConstantUse& use, Walk* walk) const;
  bool PassThrough(const Reader& reader, ConstantUse* use) const;
  std::optional<SlicePart> PartOf(const Reader& reader, const StridedArray& array) const;
  const Reader* ConcatOf(const Reader& reader) const;
  std::int64_t JoinsWhole(const Reader& concat, const Reader& reader, const StridedArray& array,
                          const SlicePart& part) const;
  std::optional<StridedArray> Moved(const Reader& reader, const StridedArray& array) const;
  std::optional<Dims> ConstantInts(int scope, const Node& node, std::size_t input) const;

  const Graph& graph_;
  ConstantIndex constants_;
  ValueReaders readers_;
  ComputedConstants computed_;
  std::map<const Node*, int> order_;
};

}  // namespace espalier
