#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/train/train.h"
#include "train/trainable.h"

namespace torch::optim {
class Optimizer;
}

namespace espalier::train {

/// libtorch's optimizer over a network's parameters, in two groups: weights, which decay, and the
/// rest; with clipping and a moving average of the parameters.
class NetOptimizer {
 public:
  /// @param parameters  Kept by reference; their tensors stay the same.
  /// @throws Error      kInvalidArgument with the value that is out of its range.
  NetOptimizer(const std::vector<TrainTensor>& parameters, const OptimizerOptions& options);
  ~NetOptimizer();
  NetOptimizer(const NetOptimizer&) = delete;
  NetOptimizer& operator=(const NetOptimizer&) = delete;

  /// One step at a learning rate, with the gradients clipped first if that was asked for.
  void Step(double learning_rate);
  void ZeroGradients();
  void UpdateAverage();

  /// Exchanges the parameters' values with their averages; call it twice to get them back. Does
  /// nothing without an average.
  void SwapAverage();

  torch::optim::Optimizer& optimizer() { return *optimizer_; }
  const std::vector<at::Tensor>& averages() const { return averages_; }

  /// All that a checkpoint has to hold, by name; handles, no copies. The steps that AdamW counts
  /// are among them as tensors of their own.
  std::map<std::string, at::Tensor> State() const;

  /// Takes over what State() gave in another process.
  /// @throws Error  kBadFile if a tensor is missing or has another shape.
  void Restore(const std::map<std::string, at::Tensor>& state);

 private:
  const std::vector<TrainTensor>& parameters_;
  OptimizerOptions options_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  std::vector<at::Tensor> averages_;
};

}  // namespace espalier::train
