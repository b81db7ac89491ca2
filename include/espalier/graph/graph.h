#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/graph/tensor.h"

namespace espalier {

/// An attribute's value. std::monostate stands for one that Espalier does not read (type protos,
/// sparse tensors) or cannot know (a function body's reference to its caller's attribute).
using Attribute =
    std::variant<std::monostate, std::int64_t, float, std::string, std::vector<std::int64_t>,
                 std::vector<float>, std::vector<std::string>, Tensor>;

struct Node {
  std::string name;     ///< As in the file; often empty.
  std::string op_type;  ///< "Conv", "MatMul", ...
  std::string domain;   ///< Empty for ONNX's own operators ("ai.onnx" is stored as empty).
  std::vector<std::string> inputs;  ///< Value names; empty for an optional input left out.
  std::vector<std::string> outputs;
  std::map<std::string, Attribute> attributes;  ///< Without graphs: those are `subgraphs`.
  std::map<std::string, int> subgraphs;         ///< Attribute name -> index in Graph::scopes.
};

/// Type of a value as the file declares it.
struct ValueInfo {
  std::string name;
  DType dtype = DType::kUnknown;
  std::optional<Dims> dims;  ///< Absent if the rank is unknown; -1 for a dimension that is.
};

/// A list of nodes with value names of its own: the main graph, a branch of If, a body of Loop or
/// Scan, or a model-local function.
struct Scope {
  enum class Kind { kMain, kSubgraph, kFunction };
  Kind kind = Kind::kMain;
  int parent = -1;          ///< Index of the enclosing scope, whose values are visible; -1 if none.
  std::string name;         ///< Graph name, or "domain.name" of a function.
  std::vector<Node> nodes;  ///< In the file's (topological) order, without Constant nodes.
  std::vector<ValueInfo> inputs;
  std::vector<ValueInfo> outputs;
  std::vector<ValueInfo> values;  ///< What the file says of intermediate values.
};

/// A constant value: an initializer, or the output of a Constant node.
struct Constant {
  std::string name;  ///< Value name.
  int scope = 0;     ///< Index in Graph::scopes where the name is defined.
  Tensor tensor;
  bool modified = false;  ///< Set by whoever changes `tensor`; the writer writes those back.
};

/// A network: what the file says, without the file's format. Index 0 of `scopes` is the main graph.
struct Graph {
  std::vector<Scope> scopes;
  std::vector<Constant> constants;
  std::map<std::string, std::int64_t> opsets;  ///< Domain -> version; "" is ONNX's own.
  /// The file format's version; 0 if unknown. From 4 on the caller of a network may replace a
  /// constant that has the name of an input: it is only a default.
  std::int64_t ir_version = 0;
  /// Notes beside the network, by name; of names that a file holds twice the first. The writer
  /// writes changes back.
  std::map<std::string, std::string> metadata = {};
};

/// Finds constants by name, with the scoping rules of ONNX: a scope sees its own names first, then
/// those of the enclosing scopes. Keeps a reference to the graph; build a new one after adding or
/// removing constants.
class ConstantIndex {
 public:
  explicit ConstantIndex(const Graph& graph);

  /// Index in Graph::constants of what `name` means in `scope`, or -1 if it is not a constant
  /// there.
  int Find(int scope, std::string_view name) const;

 private:
  const Graph* graph_;
  std::vector<std::map<std::string, int, std::less<>>> by_scope_;  // -1: defined, not constant
};

/// Reads an integer attribute.
/// @return  `fallback` if the node has none; nothing if it has one that is not a known integer.
std::optional<std::int64_t> IntAttribute(const Node& node, const std::string& name,
                                         std::int64_t fallback);

/// Reads a list of integers; `fallback` and nothing as above.
std::optional<std::vector<std::int64_t>> IntsAttribute(const Node& node, const std::string& name,
                                                       std::vector<std::int64_t> fallback);

/// "Conv 'conv1'" or "Conv of 'output'" for a node without a name.
std::string NodeText(const Node& node);

}  // namespace espalier
