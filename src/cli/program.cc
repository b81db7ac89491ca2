#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <new>

#include "cli/number_check.h"
#include "cli/options.h"
#include "cli/runtime_options.h"
#include "cli/selection.h"
#include "cli/table.h"
#include "cli/training_options.h"
#include "espalier/base/error.h"
#include "espalier/base/isa.h"

namespace espalier::cli {
namespace {

constexpr const char* kFooter =
    "Exit status: 0 done, 1 a check said no, 2 wrong use, 3 bad or unreadable file,\n"
    "4 not supported, 5 could not write, 70 a fault of espalier itself, 130 stopped.";

int StatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kShapeMismatch:
      return kWrongUse;
    case ErrorCode::kBadFile:
      return kBadFile;
    case ErrorCode::kUnsupported:
      return kUnsupported;
    case ErrorCode::kWriteFailed:
      return kCouldNotWrite;
    case ErrorCode::kInternal:
      break;
  }
  return kOurBug;
}

constexpr std::size_t kHelpColumn = 30;  // where descriptions start
constexpr std::size_t kHelpWidth = 80 - kHelpColumn;

// CLI11's own help leaves long descriptions on one line.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kHelpColumn); }
  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text;
    for (const std::string& line : Wrapped(CLI::Formatter::make_option_desc(option), kHelpWidth)) {
      text += (text.empty() ? "" : "\n") + line;
    }
    return text;
  }
};

constexpr std::string_view kScheduleGroup =
    "Options with --schedule, which trains (docs/finetune.md)";

constexpr const char* kSubcommandFooter =
    "All subcommands take --json, --quiet, --verbose, --threads N and --config FILE.";

/// What the subcommands' options are parsed into.
struct Parsed {
  CommonOptions common;
  InspectOptions inspect;
  VerifyCommandOptions verify;
  PruneCommandOptions prune;
  PermuteCommandOptions permute;
  RuntimeParsed runtime;
  TrainingOptions schedule;  ///< Of `prune --schedule`.
  TrainingOptions finetune;
  TrainingOptions train;
};

const CLI::Validator kFinite = FiniteNumber();
const CLI::Validator kCount = CountNumber();

void AddInspect(CLI::App& app, Parsed* parsed) {
  CLI::App* sub = app.add_subcommand("inspect", "Show layers, sizes, work, zeros and patterns");
  sub->add_option("MODEL", parsed->inspect.model, ".onnx, .safetensors, .index.json, .pth or .npy")
      ->required();
}

void AddVerify(CLI::App& app, Parsed* parsed) {
  VerifyCommandOptions& options = parsed->verify;
  CLI::App* sub = app.add_subcommand("verify", "Check that layers obey a pattern; exit 1 if not");
  sub->add_option("MODEL", options.model, ".onnx, .safetensors, .index.json, .pth or .npy")
      ->required();
  sub->add_option("--pattern", options.pattern, "See `espalier patterns`")
      ->required()
      ->type_name("P");
  sub->add_option("--sparsity", options.sparsity,
                  "Ranked patterns: share of units that must be zero")
      ->type_name("S")
      ->check(kFinite);
  AddRatio(sub, &options.scope, &options.ratios);
  AddSelection(sub, &options.selection);
}

// What a layer keeps whatever the ranking says.
void AddLimits(CLI::App* sub, PruneCommandOptions* options) {
  sub->add_option("--max-layer-sparsity", options->max_layer_sparsity,
                  "No layer gets sparser than this")
      ->type_name("S")
      ->check(kFinite)
      ->capture_default_str();
  sub->add_option(
         "--min-weights-per-channel", options->min_weights_per_channel,
         "Floor: weights that a layer keeps for each output channel, on average; default 1 "
         "for global scopes and thresholds, else one unit a layer")
      ->type_name("N")
      ->check(kFinite);
}

void AddEffort(CLI::App* sub, std::string* effort) {
  sub->add_option("--effort", *effort,
                  "How long the permutation is searched for; best takes ten times as long as "
                  "default")
      ->check(CLI::IsMember({"fast", "default", "best"}))
      ->capture_default_str();
}

void AddCheck(CLI::App* sub, bool* no_check, std::vector<std::string>* shapes) {
  sub->add_flag("--no-check", *no_check,
                "Write a permuted model without running old and new on random inputs");
  AddShapes(sub, shapes);
}

void AddPrune(CLI::App& app, Parsed* parsed) {
  PruneCommandOptions& options = parsed->prune;
  CLI::App* sub = app.add_subcommand("prune", "Set the least important weights to zero");
  sub->add_option("MODEL", options.model, ".onnx, .safetensors, .index.json, .pth or .npy")
      ->required();
  sub->add_option("-o,--output", options.output, "Where the result goes; a folder for .index.json")
      ->required()
      ->type_name("OUTPUT");
  sub->add_option("--pattern", options.pattern, "See `espalier patterns`")
      ->required()
      ->type_name("P");
  sub->add_option("--criterion", options.criterion, "See `espalier criteria`")
      ->type_name("C")
      ->capture_default_str();
  sub->add_option("--sparsity", options.sparsity,
                  "Ranked patterns: share of weights to drop, 0 <= S < 1")
      ->type_name("S")
      ->check(kFinite);
  sub->add_option("--threshold", options.threshold,
                  "Ranked patterns, instead: drop what scores below T")
      ->type_name("T")
      ->check(kFinite);
  AddRatio(sub, &options.scope, &options.ratios);
  AddLimits(sub, &options);
  sub->add_flag(
      "--permute", options.permute,
      "Reorder channels first so that the N:M pattern keeps more; see `espalier permute`");
  AddEffort(sub, &options.effort);
  AddCheck(sub, &options.no_check, &options.shapes);
  sub->add_option("--seed", options.seed, "For random criteria and the search of --permute")
      ->type_name("N")
      ->check(kCount)
      ->capture_default_str();
  sub->add_flag("--force", options.force, "Overwrite OUTPUT if it exists");
  AddSelection(sub, &options.selection);
  const std::size_t own = sub->get_options().size();
  AddSchedule(sub, &parsed->schedule);
  const std::vector<CLI::Option*> all = sub->get_options({});
  for (std::size_t i = own; i < all.size(); ++i) {
    all[i]->group(std::string(kScheduleGroup));
  }
}

void AddPermute(CLI::App& app, Parsed* parsed) {
  PermuteCommandOptions& options = parsed->permute;
  CLI::App* sub = app.add_subcommand("permute", "Reorder channels so that N:M pruning keeps more");
  sub->add_option("MODEL", options.model, ".onnx, or .npy for the search alone")->required();
  sub->add_option("-o,--output", options.output, "Where the result goes; not needed for .npy")
      ->type_name("OUTPUT");
  sub->add_option("--pattern", options.pattern,
                  "N:M, as 2:4: keep N of every M input channels; required unless --undo")
      ->type_name("P");
  AddEffort(sub, &options.effort);
  sub->add_option("--weight", options.weight,
                  "What counts between layers that share channels: magnitude, or macs: each weight "
                  "as often as it is used")
      ->check(CLI::IsMember({"magnitude", "macs"}))
      ->capture_default_str();
  sub->add_option("--seed", options.seed, "For the search")
      ->type_name("N")
      ->check(kCount)
      ->capture_default_str();
  sub->add_flag("--undo", options.undo,
                "Take back what espalier permuted, as noted in the model; no --pattern then");
  AddCheck(sub, &options.no_check, &options.shapes);
  sub->add_flag("--force", options.force, "Overwrite OUTPUT if it exists");
  AddSelection(sub, &options.selection);
}

void AddCommon(CLI::App& app, CommonOptions* common) {
  app.add_flag("--json", common->json, "Print the result as JSON and nothing else on stdout");
  app.add_flag("--quiet", common->quiet, "Print errors only");
  app.add_flag("--verbose", common->verbose, "Say more on stderr");
  app.add_option("--threads", common->threads, "Threads to use")
      ->type_name("N")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.set_config(
      "--config", "",
      "Read options from a TOML or INI file; those of a subcommand stand under [prune] etc.");
}

// `prune` without --schedule trains nothing.
void RefuseTrainingOptions(const CLI::App& prune) {
  for (const CLI::Option* option : prune.get_options()) {
    if (option->get_group() != kScheduleGroup || option->count() == 0) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} needs --schedule: prune trains only with one", option->get_name()));
  }
}

int Dispatch(const CLI::App& app, const Parsed& parsed, const TrainingFunction& train,
             const Streams& streams) {
  const CommonOptions& common = parsed.common;
  if (common.verbose) {
    streams.talk << fmt::format("instruction set {}, {} thread(s)\n", ActiveIsa(), common.threads);
  }
  if (app.got_subcommand("inspect")) return RunInspect(parsed.inspect, common, streams);
  if (app.got_subcommand("verify")) return RunVerify(parsed.verify, common, streams);
  if (app.got_subcommand("prune")) {
    const TrainingOptions& schedule = parsed.schedule;
    if (!schedule.mask_schedule.empty()) {
      return train(TrainingFrom(parsed.prune, schedule), common, streams);
    }
    RefuseTrainingOptions(*app.get_subcommand("prune"));
    return RunPrune(parsed.prune, common, streams);
  }
  if (app.got_subcommand("permute")) return RunPermute(parsed.permute, common, streams);
  if (const auto status = DispatchRuntime(app, parsed.runtime, common, streams)) return *status;
  if (app.got_subcommand("finetune")) return train(parsed.finetune, common, streams);
  if (app.got_subcommand("train")) return train(parsed.train, common, streams);
  if (app.got_subcommand("patterns")) return RunPatterns(common, streams);
  return RunCriteria(common, streams);
}

std::string WrongUseText(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = "espalier";
  std::string problem = error.what();
  const auto chosen = app.get_subcommands();
  const auto unknown = app.remaining();
  if (!chosen.empty()) {
    command += ' ' + chosen.front()->get_name();
  } else if (!unknown.empty()) {
    problem = fmt::format("there is no subcommand '{}'", unknown.front());
  }
  return fmt::format("espalier: {}\nSee `{} --help`.\n", Printable(problem), command);
}

int ParseAndRun(std::vector<std::string> arguments, const TrainingFunction& train,
                const Streams& streams) {
  ForceIsaFromEnvironment();
  Parsed parsed;
  CLI::App app("Makes trained neural networks sparse, and runs them faster.", "espalier");
  app.set_version_flag("--version", std::string("espalier ") + ESPALIER_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.footer(kFooter);
  app.formatter(std::make_shared<HelpFormatter>());
  AddCommon(app, &parsed.common);
  AddInspect(app, &parsed);
  AddVerify(app, &parsed);
  AddPrune(app, &parsed);
  AddPermute(app, &parsed);
  AddTrainingSubcommands(app, &parsed.finetune, &parsed.train);
  AddRuntimeSubcommands(app, &parsed.runtime);
  app.add_subcommand("patterns", "List the patterns");
  app.add_subcommand("criteria", "List the criteria");
  for (CLI::App* sub : app.get_subcommands({})) sub->footer(kSubcommandFooter);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, streams.out, streams.talk);  // --help
    streams.talk << WrongUseText(app, error);
    return dynamic_cast<const CLI::FileError*>(&error) != nullptr ? kBadFile : kWrongUse;
  }
  return Dispatch(app, parsed, train, streams);
}

}  // namespace

int RunProgram(const std::vector<std::string>& arguments, const Streams& streams,
               const TrainingFunction& train) {
  try {
    return ParseAndRun(arguments, train, streams);
  } catch (const Error& error) {  // the one place where an error becomes text and an exit status
    streams.talk << "espalier: " << Printable(error.what()) << '\n';
    return StatusOf(error.code());
  } catch (const std::bad_alloc&) {
    streams.talk << "espalier: out of memory; the model does not fit\n";
    return kUnsupported;
  } catch (const std::exception& error) {
    streams.talk << "espalier: " << Printable(error.what()) << "; please report this\n";
    return kOurBug;
  }
}

}  // namespace espalier::cli
