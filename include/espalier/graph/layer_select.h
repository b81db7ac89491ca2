#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/layers.h"

namespace espalier {

/// One term of a selection: `conv`, `conv1x1`, `depthwise`, `linear`, `recurrent`, `first[:N]`,
/// `last[:N]`, `smaller:N` (weights) or `name:REGEX` (RE2 syntax; has to match the whole name of
/// the layer or of its weight).
struct LayerTerm {
  std::string text;      ///< As written, for reasons and warnings.
  bool by_name = false;  ///< A `name:` term.
  /// Whether it chooses a layer, given its index in the list and the length of the list.
  std::function<bool(const Layer& layer, std::size_t index, std::size_t count)> matches;
};

/// Parses comma-separated terms; a comma inside a regular expression is written `\,`.
/// @throws Error  kInvalidArgument with the bad term and the list of terms, or the regular
///                expression's own error.
std::vector<LayerTerm> ParseLayerTerms(std::string_view text);

struct LayerSelection {
  std::vector<LayerTerm> only;  ///< Empty: all layers.
  std::vector<LayerTerm> skip;
};

/// Applies a selection: a layer is chosen if it matches any `only` term and no `skip` term.
/// @param unmatched  Receives the terms that match no layer at all, as written.
/// @return  For each layer why it is not chosen; empty if it is. A layer's own refusal comes first;
/// a
///          layer with a caution is chosen only by an `only` term with `name:`.
std::vector<std::string> SelectLayers(const std::vector<Layer>& layers,
                                      const LayerSelection& selection,
                                      std::vector<std::string>* unmatched);

}  // namespace espalier
