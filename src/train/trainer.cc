#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "espalier/pattern/registry.h"
#include "train/batch_norm_insertion.h"
#include "train/check_range.h"
#include "train/tensor_convert.h"
#include "train/torch_runtime.h"

namespace espalier::train {
namespace {

// Samples that measure the statistics of inserted normalizations, which the first steps of training
// then move; one batch of 256 images is within 1 % of the whole data's deviation.
constexpr std::size_t kCalibrationSamples = 512;

// The one input that is fed: the others are constants.
ValueInfo FedInput(const Graph& graph) {
  const ConstantIndex constants(graph);
  std::vector<ValueInfo> fed;
  for (const ValueInfo& input : graph.scopes[0].inputs) {
    if (constants.Find(0, input.name) < 0) fed.push_back(input);
  }
  if (fed.size() != 1) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the model has {} inputs; training feeds models with one", fed.size()));
  }
  return fed[0];
}

std::int64_t StepsOf(double epochs, std::size_t batches) {
  return std::llround(epochs * static_cast<double>(batches));
}

void CheckCounts(const TrainOptions& options) {
  CheckRange("the number of epochs", options.epochs, options.epochs >= 1, "1 or more");
  CheckRange("the number of steps", static_cast<double>(options.max_steps), options.max_steps >= 0,
             "0 or more");
  CheckRange("the batch size", static_cast<double>(options.batch_size), options.batch_size >= 1,
             "1 or more");
  CheckRange("the number of threads", options.threads, options.threads >= 1, "1 or more");
  const double minutes = options.checkpoint.minutes;
  CheckRange("the epochs of warm-up", options.warmup_epochs, options.warmup_epochs >= 0,
             "0 or more");
  CheckRange("the minutes between checkpoints", minutes, minutes >= 0, "0 or more");
}

// Prune() cannot see what was asked for: each update of the masks has an amount of its own.
void CheckRatio(const MaskOptions& masks) {
  const PruneOptions& prune = masks.prune;
  const auto refuse = [&](const char* text) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("pattern {} {}", masks.pattern->Name(), text));
  };
  const bool amount = prune.sparsity || prune.threshold;
  if (masks.pattern->kind() == Pattern::Kind::kPerGroup) {
    if (amount || !prune.ratios.empty()) refuse("has its ratio built in: it takes no other");
    return;
  }
  if (prune.sparsity && prune.threshold) refuse("takes a sparsity or a threshold, not both");
  const bool ratios = !prune.ratios.empty() && masks.schedule != ScheduleKind::kGmp;
  if (!amount && !ratios) refuse("needs a sparsity or a threshold");
}

LoaderOptions LoaderFor(const TrainOptions& options) {
  LoaderOptions loader;
  loader.batch_size = static_cast<std::size_t>(options.batch_size);
  loader.seed = options.seed;
  loader.augmentation = options.augmentation;
  loader.cache_bytes = options.cache_bytes;
  loader.on_corrupt = options.on_corrupt;
  return loader;
}

// Of a network's nodes and constants, so that a checkpoint goes on with the network it came from.
std::uint64_t FingerprintOf(const Graph& graph) {
  std::uint64_t print = 0;
  for (const Constant& constant : graph.constants) {
    const std::span<const std::byte> bytes = constant.tensor.bytes();
    print = SeedFor(SeedFor(print, constant.name),
                    {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  for (const Node& node : graph.scopes[0].nodes) print = SeedFor(print, NodeText(node));
  return print;
}

at::Tensor InputsOf(Batch& batch) {
  return at::from_blob(batch.inputs.data(), batch.shape, at::kFloat);
}

at::Tensor LabelsOf(const Batch& batch) { return at::tensor(batch.labels, at::kLong); }

double Seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

Trainer::Trainer(Graph* graph, const Graph* teacher, const TrainData& data,
                 const TrainOptions& options)
    : graph_(graph),
      data_(data),
      options_(options),
      net_(*graph),
      loss_(*graph, teacher, options.loss, options.output) {
  CheckCounts(options_);
  SetTorchThreads(options_.threads);
  at::manual_seed(options_.seed);
  graph_print_ = FingerprintOf(*graph_);
  const ValueInfo input = FedInput(*graph_);
  input_ = input.name;
  sample_shape_ =
      SampleShape(data_.preprocess, input.dims.value_or(Dims{-1, -1, -1, -1}), data_.data->Read(0));
  loader_ = std::make_unique<BatchLoader>(*data_.data, data_.preprocess, sample_shape_,
                                          LoaderFor(options_));
  const at::Device device = WithTorchErrors(ErrorCode::kInvalidArgument, "the device",
                                            [&] { return at::Device(options_.device); });
  net_.To(device);
  if (teacher != nullptr) {
    teacher_print_ = FingerprintOf(*teacher);
    teacher_.emplace(*teacher);
    teacher_->To(device);
    teacher_input_ = FedInput(*teacher).name;
  }
  if (options_.insert_batch_norm) InsertNormalizations();
  SetUpSchedules();
  if (options_.masks) SetUpMasks();
  optimizer_ = std::make_unique<NetOptimizer>(net_.parameters(), options_.optimizer);
}

void Trainer::InsertNormalizations() {
  std::vector<Values> batches;
  std::size_t samples = 0;
  loader_->Start(0);
  for (Batch batch; samples < kCalibrationSamples && loader_->Next(batch);) {
    samples += batch.labels.size();
    batches.push_back(Feed(InputsOf(batch).clone()));
  }
  report_.normalizations = static_cast<std::int64_t>(InsertBatchNorm(&net_, batches));
}

void Trainer::SetUpSchedules() {
  const std::size_t batches = loader_->batches();
  steps_ = static_cast<std::int64_t>(batches) * options_.epochs;
  if (options_.max_steps > 0) steps_ = std::min(steps_, options_.max_steps);
  LearningRateOptions rate;
  rate.kind = options_.learning_rate_kind;
  rate.base = options_.learning_rate;
  rate.final = options_.final_learning_rate;
  rate.total_steps = steps_;
  rate.gamma = options_.learning_rate_gamma;
  rate.period = static_cast<std::int64_t>(batches);
  rate.warmup_steps = std::min(StepsOf(options_.warmup_epochs, batches), steps_ - 1);
  for (const double epoch : options_.learning_rate_epochs) {
    rate.milestones.push_back(StepsOf(epoch, batches));
  }
  learning_rate_.emplace(rate);
}

void Trainer::SetUpMasks() {
  const MaskOptions& masks = *options_.masks;
  MaskSettings settings;
  settings.pattern = masks.pattern;
  settings.criterion = masks.criterion;
  if (!settings.pattern) settings.pattern = PatternRegistry::BuiltIn().Make("unstructured");
  if (!settings.criterion) settings.criterion = CriterionRegistry::BuiltIn().Make("magnitude", 0);
  settings.prune = masks.prune;
  settings.prune.threads = options_.threads;
  settings.keep_dense = masks.keep_dense;
  std::vector<Layer> layers = FindLayers(net_.graph());
  std::vector<at::Tensor> weights(layers.size());
  std::vector<std::size_t> indices(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto found = std::ranges::find(net_.parameters(), layers[i].weight, &TrainTensor::name);
    if (found == net_.parameters().end()) {
      if (layers[i].refusal.empty()) layers[i].refusal = "its weight is not trained";
      continue;
    }
    weights[i] = found->tensor;
    indices[i] = static_cast<std::size_t>(found - net_.parameters().begin());
  }
  keeper_ = std::make_unique<MaskKeeper>(std::move(layers), weights, std::move(settings));
  for (std::size_t i = 0; i < keeper_->weights().size(); ++i) {
    if (keeper_->weights()[i].mask.defined()) held_.emplace_back(i, indices[i]);
  }
  report_.warnings = keeper_->warnings();
  if (masks.pattern) {
    SetUpSparsity();
  } else {
    HoldPresentZeros();
  }
}

void Trainer::SetUpSparsity() {
  const MaskOptions& masks = *options_.masks;
  CheckRatio(masks);
  const std::size_t batches = loader_->batches();
  ScheduleOptions schedule;
  schedule.kind = masks.schedule;
  if (masks.prune.threshold) schedule.mode = ScheduleMode::kThreshold;
  schedule.target = masks.prune.threshold.value_or(masks.prune.sparsity.value_or(0));
  schedule.initial = masks.initial;
  schedule.stable_steps = StepsOf(masks.stable_epochs, batches);
  if (masks.schedule != ScheduleKind::kOneShot) {
    const std::int64_t rest = std::max<std::int64_t>(1, steps_ - schedule.stable_steps);
    schedule.pruning_steps = masks.pruning_epochs ? StepsOf(*masks.pruning_epochs, batches)
                                                  : std::max<std::int64_t>(1, rest / 2);
    schedule.updates = std::min(masks.updates, schedule.pruning_steps);
  }
  schedule_.emplace(schedule);
  CheckScheduleFits(*schedule_, *keeper_->settings().pattern);
  if (schedule_->TuningStart() > steps_) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("the masks are ready after {} steps and the training has {}: give it "
                            "more epochs, or fewer for pruning",
                            schedule_->TuningStart(), steps_));
  }
}

void Trainer::HoldPresentZeros() {
  const at::NoGradGuard guard;
  for (const auto& [held, parameter] : held_) {
    const HeldWeight& weight = keeper_->weights()[held];
    weight.mask.copy_(weight.weight.ne(0));
  }
  keeper_->MaskWeights();
  for (const HeldWeight& weight : keeper_->weights()) {
    if (weight.refusal.empty() || !weight.weight.defined()) continue;
    if (weight.weight.eq(0).sum().item<std::int64_t>() * 4 < weight.weight.numel()) continue;
    report_.warnings.push_back(
        fmt::format("the zeros of {} are not held: {}", weight.layer.name, weight.refusal));
  }
  if (keeper_->Sparsity() == 0) {
    report_.warnings.emplace_back(
        "no weight is zero, so that nothing is held: prune the model first, or give a pattern");
  }
}

Trainer::Values Trainer::Feed(const at::Tensor& inputs) const { return {{input_, inputs}}; }

at::Tensor Trainer::ForwardLoss(Batch& batch) {
  const at::Tensor inputs = InputsOf(batch);
  Values taught;
  if (teacher_) {
    const at::NoGradGuard guard;
    taught = teacher_->Forward({{teacher_input_, inputs}}, false, loss_.teacher_wanted());
  }
  const Values outputs = net_.Forward(Feed(inputs), true, loss_.wanted());
  const at::Tensor labels = LabelsOf(batch).to(net_.device());
  const auto count = static_cast<std::int64_t>(batch.labels.size());
  const at::Tensor loss = loss_({outputs, taught, labels});
  const at::NoGradGuard guard;
  if (const auto right = loss_.CountRight(outputs, labels)) {
    sums_.right += *right;
    sums_.judged += count;
  }
  return loss;
}

void Trainer::CheckFinite(double loss) const {
  if (std::isfinite(loss)) return;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("the loss is {} at step {} (epoch {}), learning rate {}: lower the rate, "
                          "or clip gradients; {}",
                          std::isnan(loss) ? "NaN" : "infinite", step_ + 1, epoch_ + 1,
                          learning_rate_->At(step_), LastCheckpoint()));
}

std::string Trainer::LastCheckpoint() const {
  return options_.checkpoint.path.empty()
             ? "no checkpoint was asked for"
             : fmt::format("the last checkpoint, if there is one, is {}",
                           options_.checkpoint.path.string());
}

// A step can make weights of a finite loss infinite; they must not replace a good checkpoint.
void Trainer::CheckWeights() const {
  for (const auto* list : {&net_.parameters(), &net_.buffers()}) {
    for (const TrainTensor& tensor : *list) {
      if (at::isfinite(tensor.tensor.detach()).all().item<bool>()) continue;
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' is not finite after step {}: lower the learning rate, or clip "
                              "gradients; {}",
                              tensor.name, step_, LastCheckpoint()));
    }
  }
}

void Trainer::UpdateMasks() {
  if (!schedule_) return;
  const ScheduleStep now = schedule_->At(step_);
  if (!now.recompute) return;
  const MaskAmount amount = AmountOf(*schedule_, now, *keeper_->settings().pattern);
  report_.layers = keeper_->Compute(amount).layers;
  keeper_->MaskOptimizerState(optimizer_->optimizer());
  const at::NoGradGuard guard;
  if (optimizer_->averages().empty()) return;
  for (const auto& [held, parameter] : held_) {
    optimizer_->averages()[parameter].mul_(keeper_->weights()[held].mask);
  }
}

void Trainer::RunStep(Batch& batch) {
  UpdateMasks();
  const at::Tensor loss = ForwardLoss(batch);
  const double value = loss.item<double>();
  CheckFinite(value);
  optimizer_->ZeroGradients();
  loss.backward();
  if (keeper_) keeper_->MaskGradients();
  optimizer_->Step(learning_rate_->At(step_));
  if (keeper_) keeper_->MaskWeights();
  optimizer_->UpdateAverage();
  const auto count = static_cast<std::int64_t>(batch.labels.size());
  sums_.loss += value * static_cast<double>(count);
  sums_.samples += count;
  epoch_samples_here_ += count;
  ++step_;
  if (options_.on_step) options_.on_step(Figures());
}

bool Trainer::ShouldStop() const {
  return options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed);
}

bool Trainer::Done() const { return step_ >= steps_; }

// False if it was stopped from outside.
bool Trainer::RunEpoch(std::int64_t epoch, std::size_t first_batch) {
  epoch_ = epoch;
  epoch_began_ = Clock::now();
  epoch_samples_here_ = 0;
  if (first_batch == 0) sums_ = {};
  loader_->Start(static_cast<std::uint64_t>(epoch), first_batch);
  for (Batch batch; !Done() && loader_->Next(batch);) {
    WithTorchErrors(ErrorCode::kUnsupported, fmt::format("step {}", step_ + 1),
                    [&] { RunStep(batch); });
    if (ShouldStop()) {
      SaveIfDue(true);
      return false;
    }
    SaveIfDue(false);
  }
  report_.figures = Figures();
  if (!JudgeHeldOut(&report_.figures)) {
    SaveIfDue(true);
    return false;
  }
  if (options_.on_epoch) options_.on_epoch(report_.figures);
  return true;
}

TrainReport Trainer::Run() {
  began_ = saved_ = Clock::now();
  if (options_.checkpoint.resume) Resume();
  const auto batches = static_cast<std::int64_t>(loader_->batches());
  // The judgement at an epoch's end is a part of it, also of one that was stopped there.
  std::int64_t epoch = std::max<std::int64_t>(0, step_ - 1) / batches;
  do {
    const auto first = static_cast<std::size_t>(step_ - epoch * batches);
    if (!RunEpoch(epoch++, first)) {
      report_.stopped = true;
      return std::move(report_);
    }
  } while (!Done());
  SaveIfDue(true);
  Finish(&report_);
  return std::move(report_);
}

TrainFigures Trainer::Figures() const {
  TrainFigures figures;
  figures.step = step_;
  figures.steps = steps_;
  figures.epoch = epoch_ + 1;
  figures.learning_rate = learning_rate_->At(std::max<std::int64_t>(0, step_ - 1));
  if (sums_.samples > 0) figures.loss = sums_.loss / static_cast<double>(sums_.samples);
  if (sums_.judged > 0) {
    figures.accuracy = static_cast<double>(sums_.right) / static_cast<double>(sums_.judged);
  }
  if (keeper_) figures.sparsity = keeper_->Sparsity();
  const double seconds = Seconds(Clock::now() - epoch_began_);
  if (seconds > 0) figures.samples_per_second = static_cast<double>(epoch_samples_here_) / seconds;
  figures.seconds = Seconds(Clock::now() - began_);
  return figures;
}

// False if it was stopped from outside.
bool Trainer::JudgeHeldOut(TrainFigures* figures) {
  if (data_.held_out == nullptr) return true;
  const at::NoGradGuard guard;
  optimizer_->SwapAverage();
  LoaderOptions options;
  options.batch_size = static_cast<std::size_t>(options_.batch_size);
  options.shuffle = false;
  options.on_corrupt = options_.on_corrupt;
  BatchLoader loader(*data_.held_out, data_.preprocess, sample_shape_, options);
  loader.Start(0);
  Sums sums;
  for (Batch batch; loader.Next(batch) && !ShouldStop();) {
    const at::Tensor inputs = InputsOf(batch);
    Values taught;
    if (teacher_) {
      taught = teacher_->Forward({{teacher_input_, inputs}}, false, loss_.teacher_wanted());
    }
    const Values outputs = net_.Forward(Feed(inputs), false, loss_.wanted());
    const at::Tensor labels = LabelsOf(batch).to(net_.device());
    const auto count = static_cast<std::int64_t>(batch.labels.size());
    sums.loss += loss_({outputs, taught, labels}).item<double>() * static_cast<double>(count);
    sums.samples += count;
    if (const auto right = loss_.CountRight(outputs, labels)) {
      sums.right += *right;
      sums.judged += count;
    }
  }
  optimizer_->SwapAverage();
  if (ShouldStop()) return false;
  figures->held_out_loss = sums.loss / static_cast<double>(sums.samples);
  if (sums.judged > 0) {
    figures->held_out_accuracy = static_cast<double>(sums.right) / static_cast<double>(sums.judged);
  }
  return true;
}

void Trainer::Finish(TrainReport* report) {
  CheckWeights();
  if (options_.optimizer.ema > 0) optimizer_->SwapAverage();
  if (keeper_) {
    keeper_->MaskWeights();
    if (const std::string breach = keeper_->Verify(); !breach.empty()) {
      throw Error(ErrorCode::kInternal, breach);
    }
  }
  Graph trained = *graph_;
  net_.WriteTo(&trained);
  std::swap(*graph_, trained);
  if (keeper_) CheckZeros();
  report->figures.sparsity = keeper_ ? keeper_->Sparsity() : 0;
}

// Folding a normalization into a weight must not turn a zero into anything else.
void Trainer::CheckZeros() const {
  std::map<std::string, const Constant*> constants;
  for (const Constant& constant : graph_->constants) {
    if (constant.scope == 0) constants.emplace(constant.name, &constant);
  }
  for (const auto& [held, parameter] : held_) {
    const HeldWeight& weight = keeper_->weights()[held];
    const auto found = constants.find(weight.layer.weight);
    if (found == constants.end()) continue;
    const at::Tensor dropped = ToTorch(found->second->tensor).masked_select(~weight.mask.cpu());
    ESPALIER_CHECK(dropped.ne(0).logical_or(dropped.signbit()).sum().item<std::int64_t>() == 0);
  }
}

}  // namespace espalier::train
