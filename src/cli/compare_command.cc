#include "espalier/runtime/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/json.h"
#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/error.h"

namespace espalier::cli {
namespace {

// The largest difference that each output had over all samples.
void Merge(std::vector<OutputDifference>& all, const std::vector<OutputDifference>& sample) {
  if (all.empty()) {
    all = sample;
    return;
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (sample[i].Relative() > all[i].Relative()) all[i] = sample[i];
  }
}

// Runs a model on the inputs of another one.
std::map<std::string, Tensor> RunOther(Session& session, const std::string& model,
                                       const std::map<std::string, Tensor>& inputs) {
  try {
    return session.Run(inputs);
  } catch (Error& error) {
    error.AddContext(fmt::format("running '{}'", model));
    throw;
  }
}

// JSON has no infinity.
Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

int RunCompare(const CompareCommandOptions& options, const CommonOptions& common,
               const Streams& streams) {
  const bool random = options.inputs.empty();
  Session first = OpenSession(options.first, options.plan, common);
  Session second = OpenSession(options.second, options.plan, common, options.dense);
  std::vector<OutputDifference> differences;
  const int samples = random ? options.samples : 1;
  for (int i = 0; i < samples; ++i) {
    const auto inputs = random ? RandomInputs(first, options.seed + static_cast<std::uint64_t>(i))
                               : ReadInputs(first, options.inputs);
    if (random && i == 0) FirstRun(first, Borrowed(inputs));
    Merge(differences, CompareOutputs(first.Run(inputs), RunOther(second, options.second, inputs),
                                      OutputNames(first), OutputNames(second)));
  }
  double worst = 0;
  for (const OutputDifference& d : differences) worst = std::max(worst, d.Relative());
  const bool passes = !options.tolerance || worst <= *options.tolerance;
  if (common.json) {
    Json outputs = Json::array();
    for (const OutputDifference& d : differences) {
      outputs.push_back({{"name", d.name},
                         {"max_abs_diff", Number(d.max_abs_diff)},
                         {"max_abs", Number(d.max_abs)},
                         {"relative", Number(d.Relative())}});
    }
    PrintJson({{"outputs", std::move(outputs)},
               {"relative", Number(worst)},
               {"tolerance", options.tolerance ? Json(*options.tolerance) : Json(nullptr)},
               {"within_tolerance", options.tolerance ? Json(passes) : Json(nullptr)}},
              streams);
  } else if (!common.quiet) {
    Table table({{"output"},
                 {"largest", Table::Align::kRight},
                 {"difference", Table::Align::kRight},
                 {"relative", Table::Align::kRight}});
    for (const OutputDifference& d : differences) {
      table.AddRow({d.name, fmt::format("{:.6g}", d.max_abs), fmt::format("{:.3g}", d.max_abs_diff),
                    fmt::format("{:.2g}", d.Relative())});
    }
    streams.out << table.Text() << '\n';
    streams.out << fmt::format("greatest relative difference {:.2g}{}\n", worst,
                               !options.tolerance ? ""
                               : passes           ? fmt::format(", within {:g}", *options.tolerance)
                                        : fmt::format(", ABOVE {:g}", *options.tolerance));
  }
  return passes ? kDone : kCheckSaidNo;
}

}  // namespace espalier::cli
