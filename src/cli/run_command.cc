#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "cli/json.h"
#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/error.h"
#include "espalier/io/npy.h"

namespace espalier::cli {
namespace {

// A file name for an output: what a path would take for something else becomes '_'.
std::string FileNameFor(const std::string& output) {
  std::string name = output;
  for (char& c : name) {
    if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 32) c = '_';
  }
  if (name.empty() || name[0] == '.') name.insert(name.begin(), '_');
  return name + ".npy";
}

std::vector<std::filesystem::path> OutputPaths(const Session& session,
                                               const RunCommandOptions& options) {
  const std::filesystem::path folder = options.output_dir;
  std::vector<std::filesystem::path> paths;
  std::set<std::string> names;
  for (const ValueInfo& output : session.outputs()) {
    std::string name = FileNameFor(output.name);
    while (!names.insert(name).second) name.insert(name.begin(), '_');
    paths.push_back(folder / name);
    if (!options.force && std::filesystem::exists(paths.back())) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' exists; --force overwrites it", paths.back().string()));
    }
  }
  return paths;
}

struct Summary {
  double least = std::numeric_limits<double>::quiet_NaN();
  double most = least;
  double mean = least;
};

Summary SummaryOf(const Tensor& tensor) {
  Summary summary;
  const std::vector<double> values = tensor.AsDoubles();
  if (values.empty()) return summary;
  const auto [least, most] = std::ranges::minmax_element(values);
  double sum = 0;
  for (const double value : values) sum += value;
  return {*least, *most, sum / static_cast<double>(values.size())};
}

}  // namespace

int RunRun(const RunCommandOptions& options, const CommonOptions& common, const Streams& streams) {
  Session session = OpenSession(options.model, options.plan, common);
  std::vector<std::filesystem::path> paths;
  if (!options.output_dir.empty()) paths = OutputPaths(session, options);
  const auto results = session.Run(ReadInputs(session, options.inputs));
  std::vector<AtomicFile> files;  // all or none of them appear
  Json outputs = Json::array();
  Table table({{"output"},
               {"type"},
               {"shape"},
               {"least", Table::Align::kRight},
               {"mean", Table::Align::kRight},
               {"most", Table::Align::kRight}});
  for (std::size_t i = 0; i < session.outputs().size(); ++i) {
    const std::string& name = session.outputs()[i].name;
    const Tensor& tensor = results.at(name);
    if (!paths.empty()) {
      const auto bytes = tensor.bytes();
      files.push_back(
          StageNpy(paths[i], options.force ? Overwrite::kYes : Overwrite::kNo,
                   {tensor.dtype(), tensor.dims(), false, {bytes.begin(), bytes.end()}}));
    }
    const Summary summary = SummaryOf(tensor);
    table.AddRow({name, std::string(DTypeName(tensor.dtype())), DimsText(tensor.dims()),
                  fmt::format("{:.6g}", summary.least), fmt::format("{:.6g}", summary.mean),
                  fmt::format("{:.6g}", summary.most)});
    outputs.push_back({{"name", name},
                       {"dtype", DTypeName(tensor.dtype())},
                       {"shape", tensor.dims()},
                       {"min", summary.least},
                       {"mean", summary.mean},
                       {"max", summary.most},
                       {"file", paths.empty() ? Json(nullptr) : Json(paths[i].string())}});
  }
  for (AtomicFile& file : files) file.Commit();
  if (common.json) {
    PrintJson({{"model", options.model}, {"outputs", std::move(outputs)}}, streams);
  } else if (!common.quiet) {
    streams.out << table.Text();
  }
  return kDone;
}

}  // namespace espalier::cli
