#pragma once

#include <map>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier {

/// Who makes and who reads each value of a graph, with ONNX's scoping rules: a reader belongs to
/// the scope that defines the name.
class ValueReaders {
 public:
  struct Reader {
    int scope;
    const Node* node;  ///< Null: an output of the scope.
    int input;         ///< Number of the input, or of the scope's output.
  };
  using ReaderMap = std::map<std::string, std::vector<Reader>, std::less<>>;

  explicit ValueReaders(const Graph& graph);

  bool IsScope(int scope) const {
    return scope >= 0 && static_cast<std::size_t>(scope) < defined_.size();
  }

  /// Readers of a value that `scope` itself defines.
  const std::vector<Reader>& Of(int scope, const std::string& value) const;

  /// The node of `scope` that makes `value`; null for inputs, constants and unknown names.
  const Node* Maker(int scope, const std::string& value) const;

  /// All values of a scope that somebody reads.
  const ReaderMap& All(int scope) const { return readers_[static_cast<std::size_t>(scope)]; }

  /// The values whose elements a reader may hand on into or out of a subgraph: what an If makes of
  /// a branch's output, what the body of a Loop or Scan calls an input of it.
  struct Crossing {
    int scope = -1;            ///< Where the other name is defined; -1 if nothing is handed on.
    std::string value;         ///< The other name.
    std::string text;          ///< "it enters the body of Loop 'x' as an input".
    bool enters_body = false;  ///< Of a Loop or Scan: may be the start of a state.
  };
  Crossing Cross(const Reader& reader) const;

 private:
  struct Owner {
    int scope = -1;
    const Node* node = nullptr;
  };
  void Add(const std::string& value, const Reader& reader);

  const Graph& graph_;
  // Names of each scope with the node that makes them; null for inputs and constants.
  std::vector<std::map<std::string, const Node*, std::less<>>> defined_;
  std::vector<ReaderMap> readers_;  // by defining scope
  std::vector<Owner> owners_;       // the node that holds a subgraph
};

}  // namespace espalier
