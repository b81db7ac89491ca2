#include <fmt/format.h>

#include "cli/json.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/ratios.h"
#include "cli/selection.h"
#include "cli/table.h"
#include "espalier/pattern/registry.h"
#include "espalier/prune/verify.h"

namespace espalier::cli {
namespace {

std::string VerdictText(const TensorRtVerdict& verdict) {
  std::string text = verdict.eligible ? "yes" : "no";
  return verdict.reason.empty() ? text : text + (verdict.eligible ? "; " : ": ") + verdict.reason;
}

std::string VerifyText(const VerifyReport& report) {
  Table checked({{"layer"},
                 {"shape", Table::Align::kLeft, 16},
                 {report.pattern, Table::Align::kLeft, 16},
                 {"TensorRT eligible"}});
  Table left_out({{"not checked"}, {"because"}});
  Table broken({{"broken"}, {"first place"}});
  std::size_t selected = 0;
  std::size_t holding = 0;
  for (const LayerVerifyReport& layer : report.layers) {
    if (!layer.selected) {
      left_out.AddRow({layer.name, layer.reason});
      continue;
    }
    ++selected;
    holding += layer.holds ? 1 : 0;
    checked.AddRow({layer.name, DimsText(layer.shape), layer.holds ? "holds" : "BROKEN",
                    VerdictText(layer.tensorrt)});
    if (!layer.holds) broken.AddRow({layer.name, layer.reason});
  }
  std::string text;
  for (const Table* table : {&checked, &left_out, &broken}) {
    if (!table->empty()) text += table->Text() + '\n';
  }
  if (selected == 0) return text + fmt::format("{}: there is no layer to check\n", report.pattern);
  if (!report.reason.empty()) {
    return text + fmt::format("{} is broken: {}\n", report.pattern, report.reason);
  }
  return text + fmt::format("{} {} in {} of {} checked layers\n", report.pattern,
                            report.holds ? "holds" : "is broken: it holds", holding, selected);
}

}  // namespace

int RunVerify(const VerifyCommandOptions& options, const CommonOptions& common,
              const Streams& streams) {
  const auto pattern = PatternRegistry::BuiltIn().Make(options.pattern);
  VerifyOptions verify;
  verify.selection = ParseSelection(options.selection);
  const auto model = OpenModel(options.model);
  verify.alignment = ParseAlignment(options.selection, *pattern, *model);
  verify.sparsity = options.sparsity;
  verify.scope = ParseScope(options.scope);
  if (!options.ratios.empty()) verify.ratios = ReadRatios(options.ratios);
  verify.threads = common.threads;
  const VerifyReport report = Verify(model->weights(), *pattern, verify);
  PrintWarnings(report.warnings, common, streams);
  if (common.json) {
    PrintJson(ToJson(report, options.model), streams);
  } else if (!common.quiet) {
    streams.out << VerifyText(report);
  }
  return report.holds ? kDone : kCheckSaidNo;
}

}  // namespace espalier::cli
