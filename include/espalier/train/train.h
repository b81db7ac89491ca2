#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/data/loader.h"
#include "espalier/data/preprocess.h"
#include "espalier/graph/graph.h"
#include "espalier/prune/criterion.h"
#include "espalier/prune/prune.h"
#include "espalier/train/learning_rate.h"
#include "espalier/train/schedule.h"

namespace espalier::train {

/// How outputs are judged.
enum class LossKind {
  kCrossEntropy,  ///< Against labels, or against the teacher's probabilities.
  kMse,           ///< Mean squared error: against one-hot labels, or against the teacher's outputs.
};

/// "cross-entropy" or "mse".
/// @throws Error  kInvalidArgument with the text and the list.
LossKind ParseLossKind(std::string_view text);

struct LossOptions {
  /// Without a value: cross-entropy where outputs are [samples, classes], else mse.
  std::optional<LossKind> kind;
  double label_smoothing = 0;  ///< 0 <= x < 1; cross-entropy with labels.
  /// Share of the teacher in the loss, 0..1; the rest is the labels'. 1 needs no labels. Without a
  /// teacher it is not read.
  double teacher_weight = 1;
  double temperature = 2;  ///< Softens both sides of the teacher's cross-entropy; > 0.
  /// Inner values, by name, whose mean squared distance from the teacher's is added, each divided
  /// by the variance of the teacher's.
  std::vector<std::string> inner;
  double inner_weight = 1;
};

/// How parameters follow their gradients.
enum class OptimizerKind { kSgd, kAdamW };

/// "sgd" or "adamw".
/// @throws Error  kInvalidArgument with the text and the list.
OptimizerKind ParseOptimizerKind(std::string_view text);

/// Weight decay spares biases, norms and other vectors.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kSgd;
  double momentum = 0.9;
  bool nesterov = true;
  double weight_decay = 1e-4;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< AdamW's.
  double clip_norm = 0;  ///< Largest norm of all gradients together, after masking; 0: none.
  /// Exponential moving average of the parameters, which is what is judged and written: the share
  /// of the old average that stays at each step, 0 < x < 1; 0: none.
  double ema = 0;
};

/// Which weights are zero while training.
struct MaskOptions {
  /// Without: the zeros that the weights of the selected layers have already are held.
  std::shared_ptr<const Pattern> pattern;
  std::shared_ptr<const Criterion> criterion;
  PruneOptions prune;  ///< Selection, ratio or threshold, scope, limits.
  ScheduleKind schedule = ScheduleKind::kOneShot;
  double initial = 0;                    ///< Gradual: the ratio at the first update.
  double stable_epochs = 0;              ///< Dense epochs before the first update.
  std::optional<double> pruning_epochs;  ///< Gradual and constant: default half of the rest.
  std::int64_t updates = 100;            ///< Most updates of the masks.
  bool keep_dense = false;               ///< Masks are computed anew from the dense weights.
};

struct CheckpointOptions {
  std::filesystem::path path;  ///< Empty: none is written.
  double minutes = 10;         ///< Between two; also at the end of an epoch, if as long has passed.
  bool resume = false;         ///< Goes on from `path` if the file exists.
};

/// What happened in a part of a training.
struct TrainFigures {
  std::int64_t step = 0;   ///< Steps done.
  std::int64_t steps = 0;  ///< Steps in all.
  std::int64_t epoch = 0;  ///< Counted from 1.
  double learning_rate = 0;
  double loss = 0;                          ///< Mean since the epoch began.
  std::optional<double> accuracy;           ///< Top-1 of the training batches since then, 0..1.
  std::optional<double> held_out_accuracy;  ///< Of the held-out data, at the end of an epoch.
  std::optional<double> held_out_loss;      ///< Likewise.
  double sparsity = 0;                      ///< Of the masked layers.
  double samples_per_second = 0;            ///< Since the epoch began.
  double seconds = 0;                       ///< Since the training began.
};

struct TrainOptions {
  int epochs = 1;
  std::int64_t max_steps = 0;  ///< Stops after so many; 0: all epochs.
  std::int64_t batch_size = 64;
  double learning_rate = 0.01;
  LearningRateKind learning_rate_kind = LearningRateKind::kCosine;
  double final_learning_rate = 0;            ///< Cosine.
  double warmup_epochs = 0;                  ///< The rate rises along a line.
  std::vector<double> learning_rate_epochs;  ///< Multistep: where the rate falls.
  double learning_rate_gamma = 0.1;          ///< Multistep and step: times so much.
  OptimizerOptions optimizer;
  LossOptions loss;
  std::string output;  ///< That the labels judge; may be empty if there is one.
  std::optional<MaskOptions> masks;
  /// Gives convolutions whose BatchNormalization an exporter folded one again while training; it is
  /// folded back when the model is written.
  bool insert_batch_norm = true;
  Augmentation augmentation;
  std::uint64_t cache_bytes = std::uint64_t{1} << 30;  ///< For decoded samples.
  std::uint64_t seed = 0;
  int threads = 1;
  std::string device = "cpu";  ///< Or "cuda", "cuda:1", where libtorch has CUDA.
  CheckpointOptions checkpoint;
  const std::atomic<bool>* stop = nullptr;  ///< Set from outside: write a checkpoint and return.
  std::function<void(const TrainFigures&)> on_step;   ///< After each step.
  std::function<void(const TrainFigures&)> on_epoch;  ///< After each epoch.
  CorruptSampleFunction on_corrupt;
};

struct TrainData {
  const Dataset* data = nullptr;
  const Dataset* held_out = nullptr;  ///< Judged after each epoch; may be null.
  Preprocess preprocess;
};

struct TrainReport {
  TrainFigures figures;                  ///< Of the last epoch.
  std::int64_t normalizations = 0;       ///< That were inserted and folded back.
  std::vector<LayerPruneReport> layers;  ///< Of the last update of the masks, if there was one.
  std::vector<std::string> warnings;     ///< Whole sentences.
  bool stopped = false;                  ///< By TrainOptions::stop; the graph is unchanged then.
};

/// Trains the float constants of a network, with zeros held, and writes them back into the graph.
///
/// With the same arguments and one thread the result has the same bytes on every run of the same
/// machine, unbroken or resumed.
/// @param graph    One float input [samples, ...]; changed at the end only.
/// @param teacher  With the same input and outputs; null: labels alone.
/// @throws Error   kUnsupported, naming the operator, if the network cannot be trained;
///                 kInvalidArgument for options that make no sense, a checkpoint of another
///                 training, labels that the output has no class for, and a loss that is not
///                 finite (step and last checkpoint); kShapeMismatch, kBadFile: of the data;
///                 kWriteFailed for the checkpoint.
/// @cost           Memory: parameters, gradients, the optimizer's state (1 to 2 times the
///                 parameters) and what autograd keeps of a batch.
TrainReport Train(Graph* graph, const Graph* teacher, const TrainData& data,
                  const TrainOptions& options);

}  // namespace espalier::train
