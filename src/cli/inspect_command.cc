#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cli/json.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/table.h"
#include "espalier/prune/inspect.h"

namespace espalier::cli {
namespace {

// The pattern that says most; the others that hold follow from it.
std::string StrongestPattern(const LayerInspection& layer) {
  for (const char* name : {"2:4-transposable", "1:4", "1:2", "2:4", "4:8"}) {
    if (std::ranges::find(layer.patterns, name) != layer.patterns.end()) return name;
  }
  return "";
}

std::string MacsText(const std::optional<std::int64_t>& macs) {
  return macs ? CountText(*macs) : "?";
}

std::string InspectionText(const Inspection& inspection, const std::string& model) {
  Table table({{"layer"},
               {"op", Table::Align::kLeft, 14},
               {"shape", Table::Align::kLeft, 16},
               {"params", Table::Align::kRight},
               {"MACs", Table::Align::kRight},
               {"zeros", Table::Align::kRight},
               {"pattern"}});
  for (const LayerInspection& layer : inspection.layers) {
    table.AddRow({layer.name, layer.op, DimsText(layer.shape), CountText(layer.parameters),
                  MacsText(layer.macs), layer.note.empty() ? PercentText(layer.Sparsity()) : "-",
                  StrongestPattern(layer)});
  }
  std::string text = table.empty() ? "" : table.Text() + '\n';
  text += fmt::format("{}: {} layers with weights, {} parameters, {}{} MACs a sample, {} zeros\n",
                      Printable(model), inspection.layers.size(), CountText(inspection.parameters),
                      inspection.macs_complete ? "" : "at least ",
                      inspection.macs ? CountText(*inspection.macs) : "0",
                      PercentText(inspection.sparsity));
  Table refused({{"cannot be pruned"}, {"because"}});
  for (const LayerInspection& layer : inspection.layers) {
    if (!layer.note.empty()) refused.AddRow({layer.name, layer.note});
  }
  if (!refused.empty()) text += '\n' + refused.Text();
  return text;
}

}  // namespace

int RunInspect(const InspectOptions& options, const CommonOptions& common, const Streams& streams) {
  const auto model = OpenModel(options.model);
  const Inspection inspection = Inspect(model->weights(), common.threads);
  if (common.json) {
    PrintJson(ToJson(inspection, options.model), streams);
  } else if (!common.quiet) {
    streams.out << InspectionText(inspection, options.model);
  }
  return kDone;
}

}  // namespace espalier::cli
