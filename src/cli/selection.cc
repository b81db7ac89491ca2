#include "cli/selection.h"

#include "cli/table.h"

namespace espalier::cli {

RankScope ParseScope(const std::string& scope) {
  if (scope == "global") return RankScope::kGlobal;
  if (scope == "global-normalized") return RankScope::kGlobalNormalized;
  return RankScope::kLayer;
}

LayerSelection ParseSelection(const SelectionOptions& options) {
  LayerSelection selection;
  const auto append = [](const std::vector<std::string>& texts, std::vector<LayerTerm>* terms) {
    for (const std::string& text : texts) {
      for (LayerTerm& term : ParseLayerTerms(text)) terms->push_back(std::move(term));
    }
  };
  append(options.only, &selection.only);
  append(options.skip, &selection.skip);
  return selection;
}

Alignment ParseAlignment(const SelectionOptions& options, const Pattern& pattern,
                         const Model& model) {
  if (options.align == "tensorrt") return Alignment::kTensorRt;
  if (options.align == "none") return Alignment::kNone;
  const bool by_default = pattern.kind() == Pattern::Kind::kPerGroup && model.AlignsByDefault();
  return by_default ? Alignment::kTensorRt : Alignment::kNone;
}

void PrintWarnings(const std::vector<std::string>& warnings, const CommonOptions& common,
                   const Streams& streams) {
  if (common.quiet) return;
  for (const std::string& warning : warnings) {
    streams.talk << "espalier: warning: " << Printable(warning) << '\n';
  }
}

}  // namespace espalier::cli
