#include "train/batch_norm_insertion.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "espalier/base/error.h"

namespace espalier::train {
namespace {

// Mean and variance of each channel over all batches, merged as Chan et al. do.
struct ChannelMoments {
  std::int64_t count = 0;
  at::Tensor mean, squares;  // squares: sum of squared distances from the mean
  bool spatial = false;      // whether a channel ever had more than one element a sample

  void Add(const at::Tensor& x) {
    const at::Tensor channels = x.to(at::kDouble).transpose(0, 1).reshape({x.size(1), -1});
    const std::int64_t more = channels.size(1);
    spatial = spatial || more > x.size(0);
    const at::Tensor its_mean = channels.mean(1);
    const at::Tensor its_squares = (channels - its_mean.unsqueeze(1)).square().sum(1);
    if (count == 0) {
      count = more, mean = its_mean, squares = its_squares;
      return;
    }
    const at::Tensor apart = its_mean - mean;
    const double all = static_cast<double>(count + more);
    mean = mean + apart * (static_cast<double>(more) / all);
    squares = squares + its_squares +
              apart.square() * (static_cast<double>(count) * static_cast<double>(more) / all);
    count += more;
  }
};

}  // namespace

class NormInserter {
 public:
  explicit NormInserter(Trainable* network) : network_(*network) {}

  std::size_t Insert(std::span<const std::map<std::string, at::Tensor>> batches) {
    ESPALIER_CHECK(network_.norms_.empty() && !batches.empty());
    const at::NoGradGuard no_grad;
    FindCandidates();
    Measure(batches);
    std::set<std::string> dropped;  // biases
    std::vector<std::pair<Step*, ChannelMoments*>> chosen;
    for (auto& [step, moments] : candidates_) {
      if (moments.spatial) chosen.emplace_back(step, &moments);
    }
    for (const auto& [step, moments] : chosen) AddNorm(step, *moments, &dropped);
    Commit(dropped);
    return chosen.size();
  }

 private:
  std::vector<Step>& steps() { return network_.program_.scopes[0].steps; }

  const TrainTensor* ParameterOf(int slot) const {
    for (const TrainTensor& parameter : network_.parameters_) {
      if (parameter.slot == slot && slot >= 0) return &parameter;
    }
    return nullptr;
  }

  const std::string& NameOf(int slot) const {
    return network_.program_.names[static_cast<std::size_t>(slot)];
  }

  void FindCandidates() {
    std::map<int, int> readers;
    std::set<int> normalised;
    for (const Step& step : steps()) {
      for (const int slot : ReadsOf(network_.program_, step)) ++readers[slot];
      if (step.node.op_type == "BatchNormalization") normalised.insert(step.inputs[0]);
    }
    const std::vector<int>& outputs = network_.program_.scopes[0].outputs;
    const std::vector<bool> before = FindSlotsBeforeLayers(network_.program_);
    for (Step& step : steps()) {
      if (step.node.op_type != "Conv" || step.outputs[0] < 0) continue;
      const bool has_bias = step.inputs.size() > 2 && step.inputs[2] >= 0;
      const bool own_constants =
          ParameterOf(step.inputs[1]) != nullptr && readers[step.inputs[1]] == 1 &&
          (!has_bias || (ParameterOf(step.inputs[2]) != nullptr && readers[step.inputs[2]] == 1));
      const int result = step.outputs[0];
      if (!own_constants || normalised.contains(result) ||
          !before[static_cast<std::size_t>(result)] ||
          std::find(outputs.begin(), outputs.end(), result) != outputs.end())
        continue;
      candidates_.emplace_back(&step, ChannelMoments{});
    }
  }

  void Measure(std::span<const std::map<std::string, at::Tensor>> batches) {
    std::map<const Step*, ChannelMoments*> by_step;
    for (auto& [step, moments] : candidates_) by_step[step] = &moments;
    network_.observer_ = [&](const Step& step, const at::Tensor& result) {
      if (const auto found = by_step.find(&step); found != by_step.end())
        found->second->Add(result);
    };
    try {
      for (const auto& batch : batches) network_.Forward(batch, /*training=*/false);
    } catch (...) {
      network_.observer_ = nullptr;
      throw;
    }
    network_.observer_ = nullptr;
  }

  std::string FreshName(std::string name) {
    while (network_.program_.main.contains(name) || !names_.insert(name).second) name += '_';
    return name;
  }

  void AddNorm(Step* step, const ChannelMoments& moments, std::set<std::string>* dropped) {
    const std::string& weight = NameOf(step->inputs[1]);
    const at::TensorOptions real = at::TensorOptions(network_.real_).device(network_.device_);
    const at::Tensor shift = moments.mean.to(real);
    const at::Tensor variance = (moments.squares / static_cast<double>(moments.count)).to(real);
    // The very expression that folding divides by, so that an untrained scale folds to exactly 1.
    const at::Tensor scale = at::sqrt(variance + InsertedNorm::kEpsilon);
    at::Tensor mean = shift.clone();
    InsertedNorm norm;
    norm.weight = weight;
    norm.output = NameOf(step->outputs[0]);
    norm.adds_bias = step->inputs.size() < 3 || step->inputs[2] < 0;
    if (norm.adds_bias) {
      norm.bias = FreshName(weight + ".bias");
    } else {
      const TrainTensor* const bias = ParameterOf(step->inputs[2]);
      norm.bias = NameOf(step->inputs[2]);
      mean -= bias->tensor;
      dropped->insert(bias->name);
      step->inputs[2] = -1;
    }
    norm.scale = added_.size();
    added_.push_back({FreshName(weight + ".norm.scale"), scale.clone(), false, -1, -1});
    norm.shift = added_.size();
    added_.push_back({FreshName(weight + ".norm.shift"), shift, false, -1, -1});
    norm.mean = network_.buffers_.size();
    network_.buffers_.push_back({FreshName(weight + ".norm.mean"), mean, false, -1, -1});
    norm.variance = network_.buffers_.size();
    network_.buffers_.push_back({FreshName(weight + ".norm.variance"), variance, false, -1, -1});
    step->norm = static_cast<int>(network_.norms_.size());
    network_.norms_.push_back(std::move(norm));
  }

  // Biases go before the new parameters get their places.
  void Commit(const std::set<std::string>& dropped) {
    std::vector<TrainTensor>& parameters = network_.parameters_;
    std::erase_if(parameters,
                  [&](const TrainTensor& tensor) { return dropped.contains(tensor.name); });
    for (InsertedNorm& norm : network_.norms_) {
      norm.scale += parameters.size();
      norm.shift += parameters.size();
    }
    for (TrainTensor& parameter : added_) {
      parameter.tensor.set_requires_grad(true);
      parameters.push_back(std::move(parameter));
    }
  }

  Trainable& network_;
  std::vector<std::pair<Step*, ChannelMoments>> candidates_;
  std::vector<TrainTensor> added_;
  std::set<std::string> names_;
};

std::size_t InsertBatchNorm(Trainable* network,
                            std::span<const std::map<std::string, at::Tensor>> batches) {
  return NormInserter(network).Insert(batches);
}

}  // namespace espalier::train
