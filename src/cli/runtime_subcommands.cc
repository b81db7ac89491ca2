#include <CLI/CLI.hpp>

#include "cli/number_check.h"
#include "cli/runtime_options.h"

namespace espalier::cli {
namespace {

constexpr const char* kModels = ".onnx or .esp";

constexpr const char* kTune =
    "Time each layer's candidate kernels before the first run; off: a cost model chooses, the same "
    "every time";

void AddPlan(CLI::App* sub, PlanOptions* plan, const char* tune = kTune) {
  sub->add_option("--tune", plan->tune, tune)
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  AddShapes(sub, &plan->shapes);
}

void AddInputs(CLI::App* sub, std::vector<std::string>* inputs, const char* help) {
  sub->add_option("--input", *inputs, help)
      ->type_name("NAME=FILE.npy")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void AddRun(CLI::App& app, RunCommandOptions* options) {
  CLI::App* sub = app.add_subcommand("run", "Run a model on given inputs");
  sub->add_option("MODEL", options->model, kModels)->required();
  AddInputs(sub, &options->inputs,
            "An input's values; the name may be left out if there is one input; may be repeated");
  sub->add_option("--output-dir", options->output_dir,
                  "Folder for the outputs, one .npy file each; made if missing")
      ->type_name("DIR");
  sub->add_flag("--force", options->force, "Overwrite files in DIR");
  AddPlan(sub, &options->plan);
}

void AddCompare(CLI::App& app, CompareCommandOptions* options) {
  CLI::App* sub = app.add_subcommand("compare", "Compare two models' outputs on the same inputs");
  sub->add_option("MODEL", options->first, kModels)->required();
  sub->add_option("OTHER", options->second, kModels)->required();
  AddInputs(sub, &options->inputs, "As for run; without, random numbers in [0, 1)");
  sub->add_option("--tolerance", options->tolerance,
                  "Exit with 1 if an output of OTHER differs from MODEL's by more than T times the "
                  "largest value in it")
      ->type_name("T")
      ->check(FiniteNumber());
  sub->add_flag("--dense", options->dense, "Run OTHER as if no weight were zero");
  sub->add_option("--samples", options->samples, "Sets of random inputs")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  sub->add_option("--seed", options->seed, "For random inputs")
      ->type_name("N")
      ->check(CountNumber())
      ->capture_default_str();
  AddPlan(sub, &options->plan);
}

void AddBench(CLI::App& app, BenchCommandOptions* options) {
  CLI::App* sub = app.add_subcommand("bench", "Latency of a model, layer by layer");
  sub->add_option("MODEL", options->model, kModels)->required();
  sub->add_option("--against", options->against, "Another model, timed in turn with the first")
      ->type_name("OTHER");
  sub->add_option("--runs", options->runs, "Runs of each model that are timed")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  sub->add_option("--warmup", options->warmup, "Runs before these, not counted")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  sub->add_option("--seed", options->seed, "For the random inputs")
      ->type_name("N")
      ->check(CountNumber())
      ->capture_default_str();
  sub->add_flag("--dense", options->dense, "Run MODEL (not OTHER) as if no weight were zero");
  AddPlan(sub, &options->plan);
}

void AddEval(CLI::App& app, EvalCommandOptions* options) {
  CLI::App* sub = app.add_subcommand("eval", "Accuracy of a classifier on labelled data");
  sub->add_option("MODEL", options->model, kModels)->required();
  AddData(sub, &options->data);
  sub->add_option("--limit", options->limit, "Take the first N samples; 0: all")
      ->type_name("N")
      ->check(CountNumber())
      ->capture_default_str();
  sub->add_option("--output", options->output, "Output that holds the classes, if there are more")
      ->type_name("NAME");
  AddPlan(sub, &options->plan);
}

void AddCompile(CLI::App& app, CompileCommandOptions* options) {
  CLI::App* sub = app.add_subcommand("compile", "Write .esp: small on disk, quick to start");
  sub->add_option("MODEL", options->model, kModels)->required();
  sub->add_option("-o,--output", options->output, "Where the result goes")
      ->required()
      ->type_name("OUTPUT");
  sub->add_option("--values", options->values, "How weights are stored; f32 keeps every bit")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
  sub->add_flag("--force", options->force, "Overwrite OUTPUT if it exists");
  AddPlan(sub, &options->plan,
          "Time each layer's candidate kernels and store the choice for machines like this one; "
          "off: store none");
}

}  // namespace

void AddShapes(CLI::App* sub, std::vector<std::string>* shapes) {
  sub->add_option("--shape", *shapes,
                  "Shape of an input that the model leaves open, as name=1x3x224x224; may be "
                  "repeated. Where none is needed to tell, open dimensions count as 1")
      ->type_name("NAME=DIMS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void AddRuntimeSubcommands(CLI::App& app, RuntimeParsed* parsed) {
  AddBench(app, &parsed->bench);
  AddRun(app, &parsed->run);
  AddCompare(app, &parsed->compare);
  AddEval(app, &parsed->eval);
  AddCompile(app, &parsed->compile);
}

std::optional<int> DispatchRuntime(const CLI::App& app, const RuntimeParsed& parsed,
                                   const CommonOptions& common, const Streams& streams) {
  if (app.got_subcommand("run")) return RunRun(parsed.run, common, streams);
  if (app.got_subcommand("compare")) return RunCompare(parsed.compare, common, streams);
  if (app.got_subcommand("bench")) return RunBench(parsed.bench, common, streams);
  if (app.got_subcommand("eval")) return RunEval(parsed.eval, common, streams);
  if (app.got_subcommand("compile")) return RunCompile(parsed.compile, common, streams);
  return std::nullopt;
}

}  // namespace espalier::cli
