#include "cli/selection.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/table.h"

namespace espalier::cli {

void AddSelection(CLI::App* app, SelectionOptions* selection) {
  const char* terms =
      "comma-separated: conv, conv1x1, depthwise, linear, recurrent, first[:N], last[:N], "
      "smaller:N, name:REGEX; may be repeated";
  // No splitting by CLI11: a regular expression may hold any character.
  app->add_option("--only", selection->only, fmt::format("Layers to take; {}", terms))
      ->type_name("TERMS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app->add_option("--skip", selection->skip, "Layers to leave out; same terms")
      ->type_name("TERMS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app->add_option("--align", selection->align,
                  "tensorrt: only layers with K % 8 = 0 and C/groups % 16 = 0 (default for N:M and "
                  "2:4-transposable, not for .npy); none: all layers")
      ->type_name("RULE")
      ->check(CLI::IsMember({"tensorrt", "none"}));
}

void AddRatio(CLI::App* sub, std::string* scope, std::string* ratios) {
  sub->add_option("--scope", *scope,
                  "Where the ratio is met: in each layer, over all, or over all with each layer's "
                  "scores divided by their norm")
      ->check(CLI::IsMember({"layer", "global", "global-normalized"}))
      ->capture_default_str();
  sub->add_option("--ratios", *ratios, "CSV file with lines `layer,sparsity`")->type_name("FILE");
}

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
