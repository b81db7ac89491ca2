#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/data_options.h"
#include "cli/options.h"

namespace CLI {
class App;
}

namespace espalier::cli {

/// How a model is made ready to run.
struct PlanOptions {
  std::string tune = "on";          ///< "on" or "off".
  std::vector<std::string> shapes;  ///< "name=1x3x224x224" for inputs whose shape is open.
};

struct RunCommandOptions {
  std::string model;
  std::vector<std::string> inputs;  ///< "name=x.npy", or "x.npy" for the only input.
  std::string output_dir;
  bool force = false;
  PlanOptions plan;
};

struct CompareCommandOptions {
  std::string first;
  std::string second;
  std::vector<std::string> inputs;  ///< As for run; random without.
  std::optional<double> tolerance;
  int samples = 1;
  std::uint64_t seed = 0;
  bool dense = false;
  PlanOptions plan;
};

struct BenchCommandOptions {
  std::string model;
  std::string against;
  int runs = 50;
  int warmup = 5;
  std::uint64_t seed = 0;
  bool dense = false;
  PlanOptions plan;
};

struct EvalCommandOptions {
  std::string model;
  DataOptions data;
  std::uint64_t limit = 0;  ///< Samples; 0: all.
  std::string output;       ///< Name of the output that holds the classes; empty: the only one.
  PlanOptions plan;
};

struct CompileCommandOptions {
  std::string model;
  std::string output;
  std::string values = "f32";
  bool force = false;
  PlanOptions plan;
};

/// What the subcommands of the runtime are parsed into.
struct RuntimeParsed {
  RunCommandOptions run;
  CompareCommandOptions compare;
  BenchCommandOptions bench;
  EvalCommandOptions eval;
  CompileCommandOptions compile;
};

/// Adds `--shape`, for subcommands that run a model.
void AddShapes(CLI::App* sub, std::vector<std::string>* shapes);

/// Adds `run`, `compare`, `bench`, `eval` and `compile`.
void AddRuntimeSubcommands(CLI::App& app, RuntimeParsed* parsed);

/// Runs the one of them that was given.
/// @return  The exit status; nothing if none was.
std::optional<int> DispatchRuntime(const CLI::App& app, const RuntimeParsed& parsed,
                                   const CommonOptions& common, const Streams& streams);

int RunRun(const RunCommandOptions& options, const CommonOptions& common, const Streams& streams);
int RunCompare(const CompareCommandOptions& options, const CommonOptions& common,
               const Streams& streams);
int RunBench(const BenchCommandOptions& options, const CommonOptions& common,
             const Streams& streams);
int RunEval(const EvalCommandOptions& options, const CommonOptions& common, const Streams& streams);
int RunCompile(const CompileCommandOptions& options, const CommonOptions& common,
               const Streams& streams);

}  // namespace espalier::cli
