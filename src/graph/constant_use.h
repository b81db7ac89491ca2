#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"

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

/// One node that reads a constant, directly or through nodes that only move its elements.
struct ConstantUse {
  int scope = 0;
  const Node* node = nullptr;                  ///< Null if `obstacle` is a graph output.
  int input = 0;                               ///< Which input of the node.
  StridedArray array;                          ///< How the node sees the constant.
  std::optional<QuantizationNode> dequantize;  ///< The first DequantizeLinear passed.
  /// Axes along which the node sees the parts of the constant in another order: the gates of
  /// PyTorch's LSTM are put in ONNX's order by Slice and Concat.
  std::vector<Axis> reordered;
  /// Why `array` is not known, in words: the layout was lost on the way, or it is a graph output.
  std::string obstacle;
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
  struct Reader {
    int scope;
    const Node* node;  // null: an output of the scope
    int input;
  };
  struct SlicePart {  // one run of one axis
    std::int64_t axis, begin, end, size;
  };
  using ReaderMap = std::map<std::string, std::vector<Reader>, std::less<>>;

  bool IsScope(int scope) const {
    return scope >= 0 && static_cast<std::size_t>(scope) < graph_.scopes.size();
  }
  void Number(int scope, int depth);
  void AddReader(const std::string& value, const Reader& reader);
  bool PassThrough(const Reader& reader, ConstantUse* use) const;
  std::optional<SlicePart> PartOf(const Reader& reader, const StridedArray& array) const;
  bool SlicesWhole(const Reader& reader, const StridedArray& array, const SlicePart& part) const;
  std::optional<StridedArray> Moved(const Reader& reader, const StridedArray& array) const;
  std::optional<Dims> ConstantInts(int scope, const Node& node, std::size_t input) const;

  const Graph& graph_;
  ConstantIndex constants_;
  // Names of each scope with the node that makes them; null for inputs and constants.
  std::vector<std::map<std::string, const Node*, std::less<>>> defined_;
  std::vector<ReaderMap> readers_;  // by defining scope
  std::map<const Node*, int> order_;
};

}  // namespace espalier
