#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <cstdlib>

#include "espalier/base/error.h"
#include "train/trainer.h"

namespace espalier::train {
namespace {

std::int64_t Integer(const std::map<std::string, std::string>& notes, const std::string& name) {
  const auto found = notes.find(name);
  char* end = nullptr;
  const long long value = found == notes.end() ? -1 : std::strtoll(found->second.c_str(), &end, 10);
  if (value < 0 || *end != '\0') {
    throw Error(ErrorCode::kBadFile, fmt::format("the checkpoint has no count '{}'", name));
  }
  return value;
}

double Real(const std::map<std::string, std::string>& notes, const std::string& name) {
  const auto found = notes.find(name);
  char* end = nullptr;
  const double value = found == notes.end() ? 0 : std::strtod(found->second.c_str(), &end);
  if (found == notes.end() || end == found->second.c_str() || *end != '\0') {
    throw Error(ErrorCode::kBadFile, fmt::format("the checkpoint has no number '{}'", name));
  }
  return value;
}

}  // namespace

// What has to be the same for a training to go on as if it had never stopped.
std::map<std::string, std::string> Trainer::Terms() const {
  const OptimizerOptions& optimizer = options_.optimizer;
  const LossOptions& loss = options_.loss;
  std::map<std::string, std::string> terms = {
      {"model", fmt::format("{:016x}", graph_print_)},
      {"teacher", fmt::format("{:016x}", teacher_print_)},
      {"data", data_.data->Description()},
      {"samples", fmt::format("{}", data_.data->size())},
      {"steps", fmt::format("{}", steps_)},
      {"batch size", fmt::format("{}", options_.batch_size)},
      {"seed", fmt::format("{}", options_.seed)},
      {"augmentation", AugmentationText(options_.augmentation)},
      {"preprocessing", PreprocessText(data_.preprocess)},
      {"learning rate",
       fmt::format("{} {} {} {} {} {}", static_cast<int>(options_.learning_rate_kind),
                   options_.learning_rate, options_.final_learning_rate, options_.warmup_epochs,
                   options_.learning_rate_gamma, fmt::join(options_.learning_rate_epochs, ","))},
      {"optimizer",
       fmt::format("{} {} {} {} {} {} {} {} {}", static_cast<int>(optimizer.kind),
                   optimizer.momentum, optimizer.nesterov, optimizer.weight_decay, optimizer.beta1,
                   optimizer.beta2, optimizer.epsilon, optimizer.clip_norm, optimizer.ema)},
      {"loss",
       fmt::format("{} {} {} {} {} {} {}", loss.kind ? static_cast<int>(*loss.kind) : -1,
                   loss.label_smoothing, teacher_ ? loss.teacher_weight : 0.0, loss.temperature,
                   fmt::join(loss.inner, ","), loss.inner_weight, options_.output)},
      {"normalizations", fmt::format("{}", report_.normalizations)},
      {"masks", keeper_ ? "the zeros of the model" : "none"}};
  for (const auto& [held, parameter] : held_) {
    terms["masked layers"] += keeper_->weights()[held].layer.name + ' ';
  }
  if (schedule_) {
    const ScheduleOptions& schedule = schedule_->options();
    const PruneOptions& prune = keeper_->settings().prune;
    terms["masks"] = fmt::format(
        "{} {} {} {} {} {} {} {} {} {} {} {}", keeper_->settings().pattern->Name(),
        keeper_->settings().criterion->Name(), static_cast<int>(prune.scope),
        static_cast<int>(prune.alignment), keeper_->settings().keep_dense,
        static_cast<int>(schedule.kind), static_cast<int>(schedule.mode), schedule.initial,
        schedule.target, schedule.stable_steps, schedule.pruning_steps, schedule.updates);
  }
  return terms;
}

void Trainer::SaveIfDue(bool now) {
  if (options_.checkpoint.path.empty()) return;
  const std::chrono::duration<double> since = Clock::now() - saved_;
  if (now || since.count() >= 60 * options_.checkpoint.minutes) Save();
}

void Trainer::Save() {
  CheckWeights();
  Checkpoint checkpoint;
  for (const TrainTensor& tensor : net_.parameters()) {
    checkpoint.tensors.emplace(fmt::format("parameter/{}", tensor.name), tensor.tensor);
  }
  for (const TrainTensor& tensor : net_.buffers()) {
    checkpoint.tensors.emplace(fmt::format("buffer/{}", tensor.name), tensor.tensor);
  }
  for (const auto& [held, parameter] : held_) {
    const HeldWeight& weight = keeper_->weights()[held];
    checkpoint.tensors.emplace(fmt::format("mask/{}", weight.layer.weight), weight.mask);
    if (weight.aside.defined()) {
      checkpoint.tensors.emplace(fmt::format("aside/{}", weight.layer.weight), weight.aside);
    }
  }
  for (const auto& [name, tensor] : optimizer_->State()) {
    checkpoint.tensors.emplace(fmt::format("optimizer/{}", name), tensor);
  }
  checkpoint.tensors.emplace("random", at::detail::getDefaultCPUGenerator().get_state());
  for (const auto& [name, text] : Terms()) checkpoint.notes[fmt::format("term/{}", name)] = text;
  checkpoint.notes["step"] = fmt::format("{}", step_);
  checkpoint.notes["loss"] = fmt::format("{}", sums_.loss);
  checkpoint.notes["seen"] = fmt::format("{}", sums_.samples);
  checkpoint.notes["right"] = fmt::format("{}", sums_.right);
  checkpoint.notes["judged"] = fmt::format("{}", sums_.judged);
  WriteCheckpoint(checkpoint, options_.checkpoint.path);
  saved_ = Clock::now();
}

void Trainer::Resume() {
  const std::filesystem::path& path = options_.checkpoint.path;
  if (!std::filesystem::exists(path)) return;
  const at::NoGradGuard guard;
  const Checkpoint checkpoint = ReadCheckpoint(path);
  for (const auto& [name, text] : Terms()) {
    const auto found = checkpoint.notes.find(fmt::format("term/{}", name));
    const std::string there = found == checkpoint.notes.end() ? "nothing" : found->second;
    if (there == text) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} is a checkpoint of another training: '{}' is '{}' there and '{}' "
                            "here; repeat the options, or begin anew without --resume",
                            path.string(), name, there, text));
  }
  if (checkpoint.notes.contains("term/masked layers") && held_.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} is a checkpoint with masks; repeat its options", path.string()));
  }
  const auto parameters = TensorsUnder(checkpoint, "parameter/");
  for (const TrainTensor& tensor : net_.parameters()) {
    CopyInto(tensor.tensor, parameters, tensor.name);
  }
  const auto buffers = TensorsUnder(checkpoint, "buffer/");
  for (const TrainTensor& tensor : net_.buffers()) CopyInto(tensor.tensor, buffers, tensor.name);
  const auto masks = TensorsUnder(checkpoint, "mask/");
  const auto asides = TensorsUnder(checkpoint, "aside/");
  for (const auto& [held, parameter] : held_) {
    const HeldWeight& weight = keeper_->weights()[held];
    CopyInto(weight.mask, masks, weight.layer.weight);
    if (weight.aside.defined()) CopyInto(weight.aside, asides, weight.layer.weight);
  }
  optimizer_->Restore(TensorsUnder(checkpoint, "optimizer/"));
  const auto random = checkpoint.tensors.find("random");
  if (random == checkpoint.tensors.end()) {
    throw Error(ErrorCode::kBadFile, fmt::format("{}: 'random' is missing", path.string()));
  }
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_state(random->second);
  step_ = Integer(checkpoint.notes, "step");
  sums_.loss = Real(checkpoint.notes, "loss");
  sums_.samples = Integer(checkpoint.notes, "seen");
  sums_.right = Integer(checkpoint.notes, "right");
  sums_.judged = Integer(checkpoint.notes, "judged");
  if (step_ > steps_) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{}: step {} of {}", path.string(), step_, steps_));
  }
}

}  // namespace espalier::train
