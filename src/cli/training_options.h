#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/data_options.h"
#include "cli/options.h"

namespace CLI {
class App;
}

namespace espalier::cli {

/// Options of `finetune` and `train`.
struct TrainingOptions {
  bool from_scratch = false;  ///< `train`: all weights are drawn anew first.
  std::string model;
  std::string output;
  bool force = false;
  DataOptions data;
  std::string eval_data;  ///< Judged after each epoch; empty: none, unless eval_split is set.
  std::string eval_split;
  int epochs = 1;
  std::uint64_t max_steps = 0;
  std::uint64_t batch_size = 64;
  double learning_rate = 0.01;
  std::string schedule = "cosine";  ///< Of the learning rate.
  double final_rate = 0;
  double warmup_epochs = 0;
  std::vector<double> rate_epochs;
  double rate_factor = 0.1;
  std::string optimizer = "sgd";
  double momentum = 0.9;
  double weight_decay = 1e-4;
  double clip_norm = 0;
  double ema = 0;
  std::string loss;  ///< Empty: by the output's shape.
  double label_smoothing = 0;
  std::string output_name;
  std::string teacher;
  double teacher_weight = 1;
  double temperature = 2;
  std::vector<std::string> inner;
  std::string augment = "none";
  bool no_batch_norm = false;
  std::string device = "cpu";
  std::uint64_t seed = 0;
  std::string checkpoint;
  double checkpoint_minutes = 10;
  bool resume = false;
  std::string log;

  // Masks.
  std::string pattern;  ///< Empty: the zeros that are there are held.
  std::string criterion = "magnitude";
  std::optional<double> sparsity;
  std::optional<double> threshold;
  std::string scope = "layer";
  std::string ratios;
  std::string mask_schedule = "one-shot";  ///< `prune`: empty unless given.
  double initial = 0;
  double stable_epochs = 0;
  std::optional<double> pruning_epochs;
  SelectionOptions selection;
};

/// Trains, or starts the program that can.
using TrainingFunction = std::function<int(const TrainingOptions& options,
                                           const CommonOptions& common, const Streams& streams)>;

/// Adds what `prune --schedule` takes beside its own options.
void AddSchedule(CLI::App* sub, TrainingOptions* options);

/// The training that `prune --schedule` is.
/// @throws Error  kInvalidArgument for options that do not go together.
TrainingOptions TrainingFrom(const PruneCommandOptions& prune, const TrainingOptions& training);

/// Adds `finetune` and `train`.
void AddTrainingSubcommands(CLI::App& app, TrainingOptions* finetune, TrainingOptions* train);

/// The whole program: parses `arguments` (without the program's name) and runs a subcommand.
int RunProgram(const std::vector<std::string>& arguments, const Streams& streams,
               const TrainingFunction& train);

/// Becomes the program espalier-train, which has libtorch, with the same arguments; so that nothing
/// else has to load it. It lies beside this program, or in ../lib/espalier.
/// @throws Error  kUnsupported if it is not there.
[[noreturn]] void StartTraining(const std::vector<std::string>& arguments);

}  // namespace espalier::cli
