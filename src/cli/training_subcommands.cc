#include <CLI/CLI.hpp>

#include "cli/number_check.h"
#include "cli/selection.h"
#include "cli/training_options.h"
#include "espalier/base/error.h"

namespace espalier::cli {
namespace {

// A number that may be left at its default.
CLI::Option* AddNumber(CLI::App* sub, const char* name, double* value, const char* help) {
  return sub->add_option(name, *value, help)
      ->type_name("X")
      ->check(FiniteNumber())
      ->capture_default_str();
}

CLI::Option* AddCount(CLI::App* sub, const char* name, std::uint64_t* value, const char* help) {
  return sub->add_option(name, *value, help)
      ->type_name("N")
      ->check(CountNumber())
      ->capture_default_str();
}

void AddRecords(CLI::App* sub, TrainingOptions* options) {
  sub->add_option("--eval-data", options->eval_data,
                  "Judged after each epoch, never trained on; default: that of --data, if "
                  "--eval-split is given")
      ->type_name("PATH");
  sub->add_option("--eval-split", options->eval_split, "Part of it, as test")->type_name("NAME");
  sub->add_option("--log", options->log, "CSV file with a line an epoch; lines are added")
      ->type_name("FILE");
  sub->add_option("--checkpoint", options->checkpoint,
                  "Where the state is kept while training, and on SIGTERM and Ctrl-C")
      ->type_name("FILE");
  AddNumber(sub, "--checkpoint-minutes", &options->checkpoint_minutes, "Between two of them");
  sub->add_flag("--resume", options->resume,
                "Go on from the checkpoint, if it is there: the same result as unbroken");
}

void AddSteps(CLI::App* sub, TrainingOptions* options) {
  sub->add_option("--epochs", options->epochs, "Passes over the data")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  AddCount(sub, "--max-steps", &options->max_steps, "Stop after so many steps; 0: all epochs");
  sub->add_option("--batch-size", options->batch_size, "Samples of a step")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  sub->add_option("--augment", options->augment,
                  "Random changes of images: none, or of crop:P, flip, resized-crop:A with commas")
      ->type_name("LIST")
      ->capture_default_str();
  sub->add_option("--device", options->device, "cpu, or cuda where libtorch has it")
      ->capture_default_str();
}

void AddRates(CLI::App* sub, TrainingOptions* options) {
  AddNumber(sub, "--lr", &options->learning_rate, "Learning rate, after warm-up");
  sub->add_option("--lr-schedule", options->schedule,
                  "cosine: down to --lr-final; step: times --lr-factor each epoch; multistep: "
                  "times it at --lr-epochs; constant")
      ->check(CLI::IsMember({"cosine", "step", "multistep", "constant"}))
      ->capture_default_str();
  AddNumber(sub, "--lr-final", &options->final_rate, "cosine: the last rate");
  sub->add_option("--lr-epochs", options->rate_epochs, "multistep: epochs, with commas")
      ->delimiter(',')
      ->type_name("LIST");
  AddNumber(sub, "--lr-factor", &options->rate_factor, "step and multistep");
  AddNumber(sub, "--warmup-epochs", &options->warmup_epochs, "The rate rises along a line first");
  sub->add_option("--optimizer", options->optimizer, "sgd (Nesterov) or adamw")
      ->check(CLI::IsMember({"sgd", "adamw"}))
      ->capture_default_str();
  AddNumber(sub, "--momentum", &options->momentum, "sgd");
  AddNumber(sub, "--weight-decay", &options->weight_decay,
            "Of weights; biases and normalizations have none");
  AddNumber(sub, "--clip", &options->clip_norm, "Largest norm of all gradients; 0: any");
  AddNumber(sub, "--ema", &options->ema,
            "Write a moving average of the weights: the share that stays, as 0.999; 0: none");
  sub->add_flag("--no-batch-norm", options->no_batch_norm,
                "Do not give convolutions back the normalization that an exporter folded");
}

void AddLoss(CLI::App* sub, TrainingOptions* options) {
  sub->add_option("--loss", options->loss,
                  "cross-entropy or mse; default: by the shape of the output")
      ->check(CLI::IsMember({"cross-entropy", "mse"}));
  AddNumber(sub, "--label-smoothing", &options->label_smoothing, "Of the labels' cross-entropy");
  sub->add_option("--output-name", options->output_name, "Output that the labels judge")
      ->type_name("NAME");
  sub->add_option("--teacher", options->teacher,
                  "Learn from this model's outputs, as the dense one; needs no labels")
      ->type_name("MODEL");
  AddNumber(sub, "--teacher-weight", &options->teacher_weight,
            "Its share in the loss, the labels have the rest");
  AddNumber(sub, "--temperature", &options->temperature, "Softens the teacher's probabilities");
  sub->add_option("--teacher-inner", options->inner,
                  "Inner values to compare, too, by name, with commas")
      ->delimiter(',')
      ->type_name("LIST");
}

void AddPhases(CLI::App* sub, TrainingOptions* options) {
  sub->add_option("--schedule", options->mask_schedule,
                  "one-shot: masks at once; gmp: more zeros step by step, along a cubic; constant: "
                  "masks anew now and then")
      ->check(CLI::IsMember({"one-shot", "gmp", "constant"}))
      ->capture_default_str();
  AddNumber(sub, "--initial", &options->initial, "gmp: the first share of zeros");
  AddNumber(sub, "--stable-epochs", &options->stable_epochs, "Dense epochs before the first masks");
  sub->add_option("--pruning-epochs", options->pruning_epochs,
                  "gmp and constant: epochs in which masks change; default half")
      ->type_name("X")
      ->check(FiniteNumber());
}

void AddMasks(CLI::App* sub, TrainingOptions* options) {
  sub->add_option("--pattern", options->pattern,
                  "Prune while training, see `espalier patterns`; default: hold the zeros that "
                  "MODEL has")
      ->type_name("P");
  sub->add_option("--criterion", options->criterion, "See `espalier criteria`")
      ->type_name("C")
      ->capture_default_str();
  sub->add_option("--sparsity", options->sparsity, "Ranked patterns: share of weights to drop")
      ->type_name("S")
      ->check(FiniteNumber());
  sub->add_option("--threshold", options->threshold, "Ranked patterns, instead")
      ->type_name("T")
      ->check(FiniteNumber());
  AddPhases(sub, options);
  AddRatio(sub, &options->scope, &options->ratios);
  AddSelection(sub, &options->selection);
}

void Add(CLI::App& app, const char* name, const char* help, TrainingOptions* options) {
  CLI::App* sub = app.add_subcommand(name, help);
  sub->add_option("MODEL", options->model, ".onnx")->required();
  sub->add_option("-o,--output", options->output, "Where the result goes")
      ->required()
      ->type_name("OUTPUT");
  sub->add_flag("--force", options->force, "Overwrite OUTPUT if it exists");
  AddCount(sub, "--seed", &options->seed, "For the order, augmentation, dropout and new weights");
  AddData(sub, &options->data);
  AddRecords(sub, options);
  AddSteps(sub, options);
  AddRates(sub, options);
  AddLoss(sub, options);
  AddMasks(sub, options);
}

}  // namespace

void AddSchedule(CLI::App* sub, TrainingOptions* options) {
  options->mask_schedule.clear();
  AddPhases(sub, options);
  AddData(sub, &options->data, /*required=*/false);
  AddRecords(sub, options);
  AddSteps(sub, options);
  AddRates(sub, options);
  AddLoss(sub, options);
}

TrainingOptions TrainingFrom(const PruneCommandOptions& prune, const TrainingOptions& training) {
  const auto refuse = [](const char* text) { throw Error(ErrorCode::kInvalidArgument, text); };
  if (training.data.path.empty() || training.data.preprocess.empty()) {
    refuse("--schedule prunes while training: it needs --data and --preprocess");
  }
  if (prune.permute) refuse("--permute reorders once: run `espalier permute` first");
  if (prune.max_layer_sparsity < 1 || prune.min_weights_per_channel) {
    refuse("--schedule has no --max-layer-sparsity and no --min-weights-per-channel");
  }
  TrainingOptions result = training;
  result.model = prune.model;
  result.output = prune.output;
  result.force = prune.force;
  result.seed = prune.seed;
  result.pattern = prune.pattern;
  result.criterion = prune.criterion;
  result.sparsity = prune.sparsity;
  result.threshold = prune.threshold;
  result.scope = prune.scope;
  result.ratios = prune.ratios;
  result.selection = prune.selection;
  return result;
}

void AddTrainingSubcommands(CLI::App& app, TrainingOptions* finetune, TrainingOptions* train) {
  train->from_scratch = true;
  Add(app, "finetune", "Train on with the zeros held, to win accuracy back", finetune);
  Add(app, "train", "Train from scratch, with new random weights", train);
}

}  // namespace espalier::cli
