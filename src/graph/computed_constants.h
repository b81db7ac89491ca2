#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "graph/value_readers.h"

namespace espalier {

/// The operators that hand on the elements of input 0 unchanged or in another type or layout.
bool IsMove(const Node& node);

/// Nodes that compute with constants only, and the weights that come out of them: weight
/// normalization, clipped weights, a projection split into its parts.
class ComputedConstants {
 public:
  using Reader = ValueReaders::Reader;

  /// Keeps references to both.
  /// @cost  Linear in the nodes and their inputs.
  ComputedConstants(const Graph& graph, const ValueReaders& readers);

  /// A weight input that what `reader` computes from constants ends in; nothing if it computes with
  /// other values too, or only asks for parameters of a quantization or a shape.
  std::optional<Reader> WeightOf(const Reader& reader) const;

  struct Crossed {
    Reader weight;
    std::string text;  ///< How the constant gets there.
  };
  /// A weight input that reads what `reader` hands into a Loop or Scan body or out of an If.
  std::optional<Crossed> WeightAcross(const Reader& reader) const;

 private:
  void FindComputed(const Graph& graph);
  void FindWeights(const Graph& graph);
  bool Follows(const Reader& reader) const;
  std::optional<Reader> WeightReader(const Reader& reader) const;

  const ValueReaders& readers_;
  std::set<std::string> functions_;        // "domain.name"
  std::set<const Node*> computed_;         // from constants only
  std::map<const Node*, Reader> weights_;  // of computed nodes: one weight input that they reach
};

}  // namespace espalier
