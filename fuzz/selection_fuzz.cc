// Reads two lines as layer selections (only, skip) and applies them to a few layers: an Error, or
// reasons that fit the terms.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/graph/layer_select.h"

namespace {

using espalier::Layer;
using espalier::LayerKind;
using espalier::LayerTerm;

Layer MakeLayer(const char* name, LayerKind kind, espalier::Dims shape) {
  Layer layer;
  layer.name = name;
  layer.weight = layer.name + ".weight";
  layer.kind = kind;
  layer.shape = std::move(shape);
  return layer;
}

std::vector<Layer> SixLayers() {
  std::vector<Layer> layers = {MakeLayer("stem", LayerKind::kConv, {16, 3, 3, 3}),
                               MakeLayer("a/dw", LayerKind::kConv, {16, 1, 3, 3}),
                               MakeLayer("a/pw", LayerKind::kConv, {32, 16, 1, 1}),
                               MakeLayer("rnn:W", LayerKind::kRecurrent, {1, 8, 8}),
                               MakeLayer("tied", LayerKind::kLinear, {32, 10}),
                               MakeLayer("", LayerKind::kLinear, {})};
  layers[1].depthwise = true;
  layers[2].pointwise = true;
  layers[4].refusal = "refused";
  layers[5].caution = "careful";
  return layers;
}

// What was written is what the terms say they are: joined by commas it parses to the same.
std::vector<LayerTerm> Parse(std::string_view text) {
  std::vector<LayerTerm> terms = espalier::ParseLayerTerms(text);
  std::string joined;
  for (const LayerTerm& term : terms) joined += (joined.empty() ? "" : ",") + term.text;
  ESPALIER_CHECK(joined == text);
  ESPALIER_CHECK(espalier::ParseLayerTerms(joined).size() == terms.size());
  return terms;
}

bool Any(const std::vector<LayerTerm>& terms, const std::vector<Layer>& layers, std::size_t i,
         bool by_name_only = false) {
  return std::ranges::any_of(terms, [&](const LayerTerm& term) {
    return (term.by_name || !by_name_only) && term.matches(layers[i], i, layers.size());
  });
}

void CheckSelection(const espalier::LayerSelection& selection) {
  const std::vector<Layer> layers = SixLayers();
  std::vector<std::string> unmatched;
  const auto reasons = espalier::SelectLayers(layers, selection, &unmatched);
  ESPALIER_CHECK(reasons.size() == layers.size());
  ESPALIER_CHECK(unmatched.size() <= selection.only.size() + selection.skip.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool asked = selection.only.empty() || Any(selection.only, layers, i);
    const bool careful =
        !layers[i].caution.empty() && !Any(selection.only, layers, i, /*by_name_only=*/true);
    const bool chosen =
        layers[i].refusal.empty() && asked && !Any(selection.skip, layers, i) && !careful;
    ESPALIER_CHECK(reasons[i].empty() == chosen);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(text.find('\n'), size);
  try {
    espalier::LayerSelection selection;
    if (end > 0) selection.only = Parse(text.substr(0, end));
    if (end + 1 < size) selection.skip = Parse(text.substr(end + 1));
    CheckSelection(selection);
  } catch (const espalier::Error& error) {
    if (error.code() != espalier::ErrorCode::kInvalidArgument) throw;
  }
  return 0;
}
