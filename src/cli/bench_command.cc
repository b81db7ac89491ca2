#include <fmt/format.h>
#include <sys/resource.h>

#include "cli/json.h"
#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/isa.h"
#include "espalier/runtime/measure.h"

namespace espalier::cli {
namespace {

struct Bench {
  std::string model;
  Latency latency;
  std::uint64_t model_bytes = 0;
  std::vector<StepReport> steps;
};

// Bytes of memory that the process had at most; Linux counts in KiB.
std::int64_t PeakBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// The library's name of a kernel without the type that most weights have; at most 19 characters.
std::string ShortKernel(std::string kernel) {
  constexpr std::string_view kLong = "unstructured";
  const std::size_t at = kernel.find(" f32 ");
  if (at != std::string::npos) {
    kernel.erase(at, 4);
  } else if (kernel.starts_with(kLong)) {
    kernel.replace(0, kLong.size(), "unstr.");
  }
  return kernel;
}

Table StepTable(const Bench& bench) {
  Table table({{"layer", Table::Align::kLeft, 22, 10},
               {"op", Table::Align::kLeft, 14},
               {"zeros", Table::Align::kRight},
               {"ms", Table::Align::kRight},
               {"kernel"},
               {"because"}});
  for (const StepReport& step : bench.steps) {
    table.AddRow({step.name, step.op, step.sparsity < 0 ? "" : PercentText(step.sparsity),
                  fmt::format("{:.3f}", step.milliseconds), ShortKernel(step.kernel), step.reason});
  }
  return table;
}

Json StepsJson(const Bench& bench) {
  Json layers = Json::array();
  for (const StepReport& step : bench.steps) {
    layers.push_back({{"name", step.name},
                      {"op", step.op},
                      {"kernel", step.kernel},
                      {"reason", step.reason},
                      {"sparsity", step.sparsity < 0 ? Json(nullptr) : Json(step.sparsity)},
                      {"ms", step.milliseconds}});
  }
  return layers;
}

Json BenchJson(const Bench& bench, const CommonOptions& common) {
  return {{"model", bench.model},
          {"threads", common.threads},
          {"isa", ActiveIsa()},
          {"min_ms", bench.latency.min_ms},
          {"p10_ms", bench.latency.p10_ms},
          {"median_ms", bench.latency.median_ms},
          {"peak_rss", PeakBytes()},
          {"model_bytes", bench.model_bytes},
          {"layers", StepsJson(bench)}};
}

std::string LatencyText(const std::vector<Bench>& benches) {
  Table table({{"model"},
               {"median ms", Table::Align::kRight},
               {"p10", Table::Align::kRight},
               {"min", Table::Align::kRight},
               {"bytes", Table::Align::kRight}});
  for (const Bench& bench : benches) {
    table.AddRow({bench.model, fmt::format("{:.3f}", bench.latency.median_ms),
                  fmt::format("{:.3f}", bench.latency.p10_ms),
                  fmt::format("{:.3f}", bench.latency.min_ms),
                  CountText(static_cast<std::int64_t>(bench.model_bytes))});
  }
  return table.Text();
}

}  // namespace

int RunBench(const BenchCommandOptions& options, const CommonOptions& common,
             const Streams& streams) {
  std::vector<Bench> benches;
  std::vector<Session> sessions;
  std::vector<std::map<std::string, Tensor>> tensors;
  for (const std::string& model : {options.model, options.against}) {
    if (model.empty()) continue;
    const bool dense = options.dense && benches.empty();
    sessions.push_back(OpenSession(model, options.plan, common, dense));
    tensors.push_back(RandomInputs(sessions.back(), options.seed));
    benches.push_back({model, {}, std::filesystem::file_size(model), {}});
  }
  std::vector<std::vector<InputTensor>> inputs;
  std::vector<std::function<void()>> things;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    inputs.push_back(Borrowed(tensors[i]));
    FirstRun(sessions[i], inputs[i]);
  }
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    things.push_back([&, i] { sessions[i].Run(inputs[i]); });
  }
  const auto latencies = MeasureInTurn(things, options.warmup, options.runs);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    benches[i].latency = latencies[i];
    benches[i].steps = MeasureSteps(sessions[i], inputs[i], std::min(options.runs, 20));
  }
  const double ratio = benches.size() < 2 || benches[0].latency.median_ms == 0
                           ? 0
                           : benches[1].latency.median_ms / benches[0].latency.median_ms;
  if (common.json) {
    Json json = BenchJson(benches[0], common);
    if (benches.size() > 1) {
      json["against"] = BenchJson(benches[1], common);
      json["speedup"] = ratio;
    }
    PrintJson(json, streams);
  } else if (!common.quiet) {
    for (const Bench& bench : benches) {
      streams.out << Printable(bench.model) << '\n' << StepTable(bench).Text() << '\n';
    }
    streams.out << LatencyText(benches)
                << fmt::format("{} run(s) in turn, {} thread(s), {}\n", options.runs,
                               common.threads, ActiveIsa());
    if (benches.size() > 1) {
      streams.out << fmt::format("\n{}\n  is {:.2f} times as fast as\n{}\n",
                                 Printable(options.model), ratio, Printable(options.against));
    }
  }
  return kDone;
}

}  // namespace espalier::cli
