#include <fmt/format.h>

#include <map>

#include "cli/json.h"
#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/error.h"
#include "espalier/base/isa.h"
#include "espalier/esp/esp_file.h"

namespace espalier::cli {
namespace {

EspValues ValuesFrom(const std::string& text) {
  if (text == "f16") return EspValues::kFloat16;
  return text == "bf16" ? EspValues::kBFloat16 : EspValues::kFloat32;
}

// The kernels that tuning chooses on this machine, one run with random inputs.
std::vector<KernelHint> TunedHints(const RunnableModel& model, const CommonOptions& common) {
  SessionOptions options;
  options.threads = common.threads;
  Session session(model.graph, options);
  const auto tensors = RandomInputs(session, 0);
  FirstRun(session, Borrowed(tensors));
  std::vector<KernelHint> hints;
  for (const StepReport& step : session.Steps()) {
    if (!step.choice.empty()) hints.push_back({step.name, ActiveIsa(), step.choice});
  }
  return hints;
}

Table EncodingTable(const EspReport& report) {
  Table table({{"constant"},
               {"encoding"},
               {"bytes", Table::Align::kRight},
               {"packed", Table::Align::kRight},
               {"rounding", Table::Align::kRight}});
  std::uint64_t small_before = 0;
  std::uint64_t small_after = 0;
  std::size_t small = 0;
  for (const EspConstantReport& constant : report.constants) {
    if (constant.bytes_before < 4096) {
      ++small;
      small_before += constant.bytes_before;
      small_after += constant.bytes_after;
      continue;
    }
    table.AddRow({constant.name, constant.encoding,
                  CountText(static_cast<std::int64_t>(constant.bytes_before)),
                  CountText(static_cast<std::int64_t>(constant.bytes_after)),
                  constant.max_error == 0 ? "" : fmt::format("{:.1e}", constant.max_error)});
  }
  if (small != 0) {
    table.AddRow({fmt::format("{} under 4 KiB", small), "",
                  CountText(static_cast<std::int64_t>(small_before)),
                  CountText(static_cast<std::int64_t>(small_after)), ""});
  }
  return table;
}

}  // namespace

int RunCompile(const CompileCommandOptions& options, const CommonOptions& common,
               const Streams& streams) {
  const std::filesystem::path output = options.output;
  for (const char* other : {".onnx", ".npy", ".safetensors", ".json", ".pth", ".pt"}) {
    if (output.extension() == other) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("output '{}' looks like another format; compile writes .esp",
                              options.output));
    }
  }
  EspOptions esp;
  esp.values = ValuesFrom(options.values);
  esp.overwrite = options.force ? Overwrite::kYes : Overwrite::kNo;
  esp.threads = common.threads;
  const AtomicFile probe(output, esp.overwrite);
  RunnableModel model = ReadRunnable(options.model);
  FixShapes(model.graph, options.plan.shapes);
  if (options.plan.tune == "on") esp.hints = TunedHints(model, common);
  const EspReport report = WriteEsp(model.graph, output, esp);
  const auto before = std::filesystem::file_size(options.model);
  const double ratio = static_cast<double>(report.file_bytes) / static_cast<double>(before);
  if (common.json) {
    Json constants = Json::array();
    for (const EspConstantReport& constant : report.constants) {
      constants.push_back({{"name", constant.name},
                           {"encoding", constant.encoding},
                           {"bytes_before", constant.bytes_before},
                           {"bytes_after", constant.bytes_after},
                           {"max_error", constant.max_error},
                           {"note", constant.note}});
    }
    PrintJson({{"model", options.model},
               {"output", options.output},
               {"values", options.values},
               {"model_bytes", before},
               {"output_bytes", report.file_bytes},
               {"ratio", ratio},
               {"tuned_layers", esp.hints.size()},
               {"constants", std::move(constants)}},
              streams);
  } else if (!common.quiet) {
    streams.out << EncodingTable(report).Text() << '\n'
                << fmt::format(
                       "{}: {} bytes, {:.3f} of the {} of {}; kernels of {} layers chosen "
                       "for {}\n",
                       Printable(options.output), report.file_bytes, ratio, before,
                       Printable(options.model), esp.hints.size(), ActiveIsa());
  }
  return kDone;
}

}  // namespace espalier::cli
