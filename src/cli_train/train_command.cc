#include "cli_train/train_command.h"

#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <utility>

#include "cli/json.h"
#include "cli/model.h"
#include "cli/ratios.h"
#include "cli/selection.h"
#include "cli/table.h"
#include "cli_train/training_log.h"
#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/pattern/registry.h"
#include "espalier/train/initialize.h"
#include "espalier/train/train.h"

namespace espalier::cli {
namespace {

using train::TrainFigures;
using train::TrainReport;

std::atomic<bool> stop_asked{false};

// The second time the signal does what it does by default.
void AskToStop(int number) {
  stop_asked = true;
  std::signal(number, SIG_DFL);
}

train::TrainOptions StepsFrom(const TrainingOptions& options, const CommonOptions& common) {
  train::TrainOptions result;
  result.epochs = options.epochs;
  result.max_steps = static_cast<std::int64_t>(options.max_steps);
  result.batch_size = static_cast<std::int64_t>(options.batch_size);
  result.learning_rate = options.learning_rate;
  result.learning_rate_kind = train::ParseLearningRateKind(options.schedule);
  result.final_learning_rate = options.final_rate;
  result.warmup_epochs = options.warmup_epochs;
  result.learning_rate_epochs = options.rate_epochs;
  result.learning_rate_gamma = options.rate_factor;
  result.optimizer.kind = train::ParseOptimizerKind(options.optimizer);
  result.optimizer.momentum = options.momentum;
  result.optimizer.weight_decay = options.weight_decay;
  result.optimizer.clip_norm = options.clip_norm;
  result.optimizer.ema = options.ema;
  if (!options.loss.empty()) result.loss.kind = train::ParseLossKind(options.loss);
  result.loss.label_smoothing = options.label_smoothing;
  result.loss.teacher_weight = options.teacher_weight;
  result.loss.temperature = options.temperature;
  result.loss.inner = options.inner;
  result.output = options.output_name;
  result.insert_batch_norm = !options.no_batch_norm;
  result.augmentation = ParseAugmentation(options.augment);
  result.seed = options.seed;
  result.threads = common.threads;
  result.device = options.device;
  result.checkpoint = {options.checkpoint, options.checkpoint_minutes, options.resume};
  result.stop = &stop_asked;
  return result;
}

void CheckWords(const TrainingOptions& options) {
  const auto refuse = [](const char* text) { throw Error(ErrorCode::kInvalidArgument, text); };
  if (options.resume && options.checkpoint.empty()) refuse("--resume needs --checkpoint FILE");
  const bool asks = options.sparsity || options.threshold || options.mask_schedule != "one-shot" ||
                    !options.ratios.empty() || options.initial != 0 || options.stable_epochs != 0 ||
                    options.pruning_epochs;
  if (options.pattern.empty() && asks) {
    refuse("--sparsity, --threshold, --ratios and --schedule need a --pattern");
  }
  const std::filesystem::path state = options.checkpoint;
  if (state.empty()) return;
  if (state == options.model || state == options.output || state == options.teacher) {
    refuse("the --checkpoint would take the place of another file");
  }
  if (std::filesystem::exists(state) && !options.resume && !options.force) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} exists: go on with it by --resume, or begin anew with --force",
                            options.checkpoint));
  }
  AtomicFile(state, Overwrite::kYes);  // a folder that cannot be written shows now
}

train::MaskOptions MasksFrom(const TrainingOptions& options, const Model& model) {
  train::MaskOptions masks;
  masks.prune.selection = ParseSelection(options.selection);
  if (options.pattern.empty()) return masks;
  masks.pattern = PatternRegistry::BuiltIn().Make(options.pattern);
  masks.criterion = CriterionRegistry::BuiltIn().Make(options.criterion, options.seed);
  masks.prune.alignment = ParseAlignment(options.selection, *masks.pattern, model);
  masks.prune.scope = ParseScope(options.scope);
  masks.prune.sparsity = options.sparsity;
  masks.prune.threshold = options.threshold;
  if (!options.ratios.empty()) masks.prune.ratios = ReadRatios(options.ratios);
  masks.schedule = train::ParseScheduleKind(options.mask_schedule);
  masks.initial = options.initial;
  masks.stable_epochs = options.stable_epochs;
  masks.pruning_epochs = options.pruning_epochs;
  return masks;
}

bool HasTestSplit(DataOptions data) {
  data.split = "test";
  try {
    OpenData(data, /*need_labels=*/false);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The samples for training, never those for tests unless they are asked for: those of the split
// "train" where the data have one.
std::unique_ptr<Dataset> OpenTrainingData(DataOptions data, bool need_labels) {
  if (!data.split.empty() || !data.labels.empty()) return OpenData(data, need_labels);
  const std::string as_given = std::exchange(data.split, "train");
  try {
    return OpenData(data, need_labels);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument || HasTestSplit(data)) throw;
  }
  data.split = as_given;  // no splits: all there is
  return OpenData(data, need_labels);
}

std::unique_ptr<Dataset> OpenHeldOut(const TrainingOptions& options, bool need_labels) {
  if (options.eval_data.empty() && options.eval_split.empty()) return nullptr;
  DataOptions data = options.data;
  if (!options.eval_data.empty()) {
    data.path = options.eval_data;
    data.labels.clear();
  }
  data.split = options.eval_split;
  return OpenData(data, need_labels);
}

Json ToJson(const TrainReport& report, const TrainingOptions& options) {
  const TrainFigures& figures = report.figures;
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  return {{"model", options.model},
          {"output", options.output},
          {"steps", figures.step},
          {"epochs", figures.epoch},
          {"loss", figures.loss},
          {"accuracy", number(figures.accuracy)},
          {"held_out_loss", number(figures.held_out_loss)},
          {"held_out_accuracy", number(figures.held_out_accuracy)},
          {"sparsity", figures.sparsity},
          {"normalizations", report.normalizations},
          {"seconds", figures.seconds},
          {"warnings", report.warnings}};
}

std::string ReportText(const TrainReport& report, const TrainingOptions& options) {
  const TrainFigures& figures = report.figures;
  std::string text = fmt::format("{}: {} steps in {:.0f} s", Printable(options.output),
                                 figures.step, figures.seconds);
  if (figures.sparsity > 0) {
    text += fmt::format(", {} zeros held", PercentText(figures.sparsity));
  }
  text += '\n';
  if (figures.held_out_accuracy) {
    text += fmt::format("held-out data: top-1 {:.2f} %, loss {:.4f}\n",
                        100 * *figures.held_out_accuracy, *figures.held_out_loss);
  }
  return text;
}

}  // namespace

int RunTraining(const TrainingOptions& options, const CommonOptions& common,
                const Streams& streams) {
  CheckWords(options);
  CheckOutputName(options.model, options.output);
  train::TrainOptions train = StepsFrom(options, common);
  const auto model = OpenModel(options.model);
  if (model->graph() == nullptr) {
    throw Error(ErrorCode::kInvalidArgument, "training needs the network: give an ONNX model");
  }
  if (!options.from_scratch || !options.pattern.empty()) train.masks = MasksFrom(options, *model);
  model->OpenOutput(options.output, options.force ? Overwrite::kYes : Overwrite::kNo);
  std::optional<OnnxModel> teacher;
  if (!options.teacher.empty()) teacher = ReadOnnx(options.teacher);
  const bool need_labels = !teacher || options.teacher_weight < 1;
  const auto data = OpenTrainingData(options.data, need_labels);
  const auto held_out = OpenHeldOut(options, need_labels);
  if (!common.quiet) {
    streams.talk << "training on " << Printable(data->Description()) << '\n';
    if (held_out) streams.talk << "judged on " << Printable(held_out->Description()) << '\n';
  }
  if (options.from_scratch) train::DrawWeights(model->graph(), options.seed);

  TrainingLog log(options.log, common, streams);
  train.on_step = [&](const TrainFigures& figures) { log.Step(figures); };
  train.on_epoch = [&](const TrainFigures& figures) { log.Epoch(figures); };
  train.on_corrupt = [&](std::size_t, std::string_view reason) { log.Corrupt(reason); };
  std::signal(SIGTERM, AskToStop);
  std::signal(SIGINT, AskToStop);
  const TrainReport report =
      train::Train(model->graph(), teacher ? &teacher->graph : nullptr,
                   {data.get(), held_out.get(), PreprocessFrom(options.data)}, train);
  log.Finish();
  PrintWarnings(report.warnings, common, streams);
  if (report.stopped) {
    streams.talk << (options.checkpoint.empty()
                         ? "espalier: stopped; nothing was written (see --checkpoint)\n"
                         : fmt::format("espalier: stopped; go on with --resume --checkpoint {}\n",
                                       Printable(options.checkpoint)));
    return kStopped;
  }
  model->Commit();
  if (common.json) {
    PrintJson(ToJson(report, options), streams);
  } else if (!common.quiet) {
    streams.out << ReportText(report, options);
  }
  return kDone;
}

}  // namespace espalier::cli
