#include <fmt/format.h>

#include <optional>
#include <utility>

#include "cli/json.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/permuting.h"
#include "cli/progress_bar.h"
#include "cli/ratios.h"
#include "cli/selection.h"
#include "cli/table.h"
#include "espalier/pattern/registry.h"
#include "espalier/permute/permute_graph.h"
#include "espalier/prune/prune.h"

namespace espalier::cli {
namespace {

PruneOptions LibraryOptions(const PruneCommandOptions& options, const CommonOptions& common) {
  PruneOptions prune;
  prune.selection = ParseSelection(options.selection);
  prune.scope = ParseScope(options.scope);
  prune.sparsity = options.sparsity;
  prune.threshold = options.threshold;
  if (!options.ratios.empty()) prune.ratios = ReadRatios(options.ratios);
  prune.max_layer_sparsity = options.max_layer_sparsity;
  prune.min_weights_per_channel = options.min_weights_per_channel;
  prune.threads = common.threads;
  return prune;
}

std::string PruneText(const PruneReport& report, const PruneCommandOptions& options) {
  Table pruned({{"pruned"},
                {"op", Table::Align::kLeft, 14},
                {"shape", Table::Align::kLeft, 16},
                {"zeros", Table::Align::kRight},
                {"kept", Table::Align::kRight},
                {"note"}});
  Table left({{"left as it is"}, {"because"}});
  std::size_t count = 0;
  for (const LayerPruneReport& layer : report.layers) {
    if (!layer.pruned) {
      left.AddRow({layer.name, layer.reason});
      continue;
    }
    ++count;
    pruned.AddRow({layer.name, layer.op, DimsText(layer.shape), PercentText(layer.Sparsity()),
                   PercentText(layer.KeptMagnitude()), layer.reason});
  }
  std::string text;
  if (!pruned.empty()) text += pruned.Text() + '\n';
  if (!left.empty()) text += left.Text() + '\n';
  return text + fmt::format(
                    "{}: {} of {} layers pruned to {} by {}\n"
                    "{} zeros in them, {} of their magnitude kept\n",
                    Printable(options.output), count, report.layers.size(), report.pattern,
                    report.criterion, PercentText(report.Sparsity()),
                    PercentText(report.KeptMagnitude()));
}

PermuteReport PermuteFirst(Model& model, const Pattern& pattern, const PruneCommandOptions& options,
                           const PruneOptions& prune, const CommonOptions& common,
                           const Streams& streams) {
  PermuteGraphOptions permute;
  permute.search.effort = ParseEffort(options.effort);
  permute.search.seed = options.seed;
  permute.selection = prune.selection;
  return PermuteModel(model, pattern, prune.alignment, std::move(permute), options.no_check,
                      options.shapes, common, streams)
      .report;
}

}  // namespace

int RunPrune(const PruneCommandOptions& options, const CommonOptions& common,
             const Streams& streams) {
  const auto pattern = PatternRegistry::BuiltIn().Make(options.pattern);
  const auto criterion = CriterionRegistry::BuiltIn().Make(options.criterion, options.seed);
  PruneOptions prune = LibraryOptions(options, common);
  CheckOutputName(options.model, options.output);
  const auto model = OpenModel(options.model);
  prune.alignment = ParseAlignment(options.selection, *pattern, *model);
  model->OpenOutput(options.output, options.force ? Overwrite::kYes : Overwrite::kNo);
  std::optional<PermuteReport> permuted;
  if (options.permute) permuted = PermuteFirst(*model, *pattern, options, prune, common, streams);
  prune.progress = MakeProgressBar(common, streams);
  const PruneReport report = Prune(model->weights(), *pattern, *criterion, prune);
  model->Commit();
  ClearProgressBar(prune.progress, streams);
  if (permuted) PrintWarnings(permuted->warnings, common, streams);
  PrintWarnings(report.warnings, common, streams);
  if (common.json) {
    Json json = ToJson(report, options);
    if (permuted) json["groups"] = ToJson(*permuted);
    PrintJson(json, streams);
  } else if (!common.quiet) {
    if (permuted) streams.out << PermuteText(*permuted, pattern->Name()) << '\n';
    streams.out << PruneText(report, options);
  }
  return kDone;
}

}  // namespace espalier::cli
