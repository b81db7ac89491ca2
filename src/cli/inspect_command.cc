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

Table LayerTable(const Inspection& inspection) {
  const bool macs = inspection.macs.has_value();  // checkpoints do not say
  std::vector<Table::Column> columns = {{"layer"},
                                        {"op", Table::Align::kLeft, 14},
                                        {"shape", Table::Align::kLeft, 16},
                                        {"params", Table::Align::kRight}};
  if (macs) columns.push_back({"MACs", Table::Align::kRight});
  columns.push_back({"zeros", Table::Align::kRight});
  columns.push_back({"pattern"});
  Table table(columns);
  for (const LayerInspection& layer : inspection.layers) {
    std::vector<std::string> row = {layer.name, layer.op, DimsText(layer.shape),
                                    CountText(layer.parameters)};
    if (macs) row.push_back(layer.macs ? CountText(*layer.macs) : "?");
    row.push_back(layer.note.empty() ? PercentText(layer.Sparsity()) : "-");
    row.push_back(StrongestPattern(layer));
    table.AddRow(row);
  }
  return table;
}

std::string MacsText(const Inspection& inspection) {
  if (!inspection.macs) return "";
  return fmt::format("{}{} MACs a sample, ", inspection.macs_complete ? "" : "at least ",
                     CountText(*inspection.macs));
}

std::string InspectionText(const Inspection& inspection, const std::string& model) {
  const Table table = LayerTable(inspection);
  std::string text = table.empty() ? "" : table.Text() + '\n';
  text += fmt::format("{}:\n{} layers with weights, {} parameters, {}{} zeros\n", Printable(model),
                      inspection.layers.size(), CountText(inspection.parameters),
                      MacsText(inspection), PercentText(inspection.sparsity));
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
