#include "train/optimizer.h"

#include <fmt/format.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cmath>

#include "espalier/base/error.h"
#include "train/check_range.h"

namespace espalier::train {
namespace {

void Check(const OptimizerOptions& options) {
  const auto share = [](double value) { return value >= 0 && value < 1; };
  constexpr const char* kShare = "0 or more and below 1";
  CheckRange("the momentum", options.momentum, share(options.momentum), kShare);
  CheckRange("the weight decay", options.weight_decay, options.weight_decay >= 0, "0 or more");
  CheckRange("beta1", options.beta1, share(options.beta1), kShare);
  CheckRange("beta2", options.beta2, share(options.beta2), kShare);
  CheckRange("epsilon", options.epsilon, options.epsilon > 0, "above 0");
  CheckRange("the clipping norm", options.clip_norm, options.clip_norm >= 0, "0 or more");
  CheckRange("the moving average", options.ema, share(options.ema), kShare);
}

using Group = torch::optim::OptimizerParamGroup;

template <class Options>
std::vector<Group> Groups(const std::vector<TrainTensor>& parameters, Options options,
                          double weight_decay) {
  std::vector<Group> groups;
  for (const bool decay : {true, false}) {
    std::vector<at::Tensor> tensors;
    for (const TrainTensor& parameter : parameters) {
      if (parameter.decay == decay) tensors.push_back(parameter.tensor);
    }
    if (tensors.empty()) continue;
    options.weight_decay(decay ? weight_decay : 0);
    groups.emplace_back(tensors, std::make_unique<Options>(options));
  }
  return groups;
}

std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(const std::vector<TrainTensor>& parameters,
                                                       const OptimizerOptions& options) {
  // The rate is set before each step.
  if (options.kind == OptimizerKind::kAdamW) {
    auto adamw =
        torch::optim::AdamWOptions(1.0).betas({options.beta1, options.beta2}).eps(options.epsilon);
    return std::make_unique<torch::optim::AdamW>(Groups(parameters, adamw, options.weight_decay),
                                                 adamw);
  }
  auto sgd = torch::optim::SGDOptions(1.0)
                 .momentum(options.momentum)
                 .nesterov(options.nesterov && options.momentum > 0);
  return std::make_unique<torch::optim::SGD>(Groups(parameters, sgd, options.weight_decay), sgd);
}

// The key of a parameter in libtorch's table of states.
std::string KeyOf(const at::Tensor& parameter) {
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
}

void Put(const std::string& name, const at::Tensor& value,
         std::map<std::string, at::Tensor>* state) {
  if (value.defined()) state->emplace(name, value);
}

at::Tensor Take(const std::map<std::string, at::Tensor>& state, const std::string& name,
                const at::Tensor& like) {
  const auto found = state.find(name);
  if (found == state.end()) return {};
  if (found->second.sizes() != like.sizes()) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("'{}' has shape [{}] and not [{}]", name,
                            fmt::join(found->second.sizes(), ", "), fmt::join(like.sizes(), ", ")));
  }
  return found->second.to(like.options()).clone();
}

}  // namespace

OptimizerKind ParseOptimizerKind(std::string_view text) {
  if (text == "sgd") return OptimizerKind::kSgd;
  if (text == "adamw") return OptimizerKind::kAdamW;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("there is no optimizer '{}'; there are sgd and adamw", text));
}

NetOptimizer::NetOptimizer(const std::vector<TrainTensor>& parameters,
                           const OptimizerOptions& options)
    : parameters_(parameters), options_(options) {
  Check(options);
  optimizer_ = MakeOptimizer(parameters, options);
  if (options.ema > 0) {
    for (const TrainTensor& parameter : parameters) {
      averages_.push_back(parameter.tensor.detach().clone());
    }
  }
}

NetOptimizer::~NetOptimizer() = default;

void NetOptimizer::Step(double learning_rate) {
  for (Group& group : optimizer_->param_groups()) group.options().set_lr(learning_rate);
  if (options_.clip_norm > 0) {
    std::vector<at::Tensor> norms;
    for (const TrainTensor& parameter : parameters_) {
      if (parameter.tensor.grad().defined()) norms.push_back(parameter.tensor.grad().norm());
    }
    const double norm = norms.empty() ? 0 : at::stack(norms).norm().item<double>();
    if (!std::isfinite(norm)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the gradients are not finite: lower the learning rate");
    }
    if (norm > options_.clip_norm) {
      for (const TrainTensor& parameter : parameters_) {
        if (parameter.tensor.grad().defined()) {
          parameter.tensor.grad().mul_(options_.clip_norm / norm);
        }
      }
    }
  }
  optimizer_->step();
}

void NetOptimizer::ZeroGradients() { optimizer_->zero_grad(); }

void NetOptimizer::UpdateAverage() {
  const at::NoGradGuard guard;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    averages_[i].lerp_(parameters_[i].tensor, 1 - options_.ema);
  }
}

void NetOptimizer::SwapAverage() {
  const at::NoGradGuard guard;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    const at::Tensor kept = averages_[i].clone();
    averages_[i].copy_(parameters_[i].tensor);
    parameters_[i].tensor.detach().copy_(kept);
  }
}

std::map<std::string, at::Tensor> NetOptimizer::State() const {
  std::map<std::string, at::Tensor> state;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    if (!averages_.empty()) Put(fmt::format("average/{}", name), averages_[i], &state);
    const auto found = optimizer_->state().find(KeyOf(parameters_[i].tensor));
    if (found == optimizer_->state().end()) continue;
    if (auto* sgd = dynamic_cast<torch::optim::SGDParamState*>(found->second.get())) {
      Put(fmt::format("momentum/{}", name), sgd->momentum_buffer(), &state);
    } else if (auto* adamw = dynamic_cast<torch::optim::AdamWParamState*>(found->second.get())) {
      Put(fmt::format("mean/{}", name), adamw->exp_avg(), &state);
      Put(fmt::format("square/{}", name), adamw->exp_avg_sq(), &state);
      Put(fmt::format("steps/{}", name), at::scalar_tensor(adamw->step(), at::kLong), &state);
    }
  }
  return state;
}

void NetOptimizer::Restore(const std::map<std::string, at::Tensor>& state) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    const at::Tensor values = parameters_[i].tensor.detach();
    if (!averages_.empty()) {
      const at::Tensor average = Take(state, fmt::format("average/{}", name), values);
      if (!average.defined()) {
        throw Error(ErrorCode::kBadFile, fmt::format("'average/{}' is missing", name));
      }
      averages_[i].copy_(average);
    }
    const std::string key = KeyOf(parameters_[i].tensor);
    if (const at::Tensor momentum = Take(state, fmt::format("momentum/{}", name), values);
        momentum.defined()) {
      auto own = std::make_unique<torch::optim::SGDParamState>();
      own->momentum_buffer(momentum);
      optimizer_->state()[key] = std::move(own);
    }
    const at::Tensor mean = Take(state, fmt::format("mean/{}", name), values);
    const at::Tensor square = Take(state, fmt::format("square/{}", name), values);
    const auto steps = state.find(fmt::format("steps/{}", name));
    if (mean.defined() && square.defined() && steps != state.end()) {
      auto own = std::make_unique<torch::optim::AdamWParamState>();
      own->exp_avg(mean);
      own->exp_avg_sq(square);
      own->step(steps->second.item<std::int64_t>());
      optimizer_->state()[key] = std::move(own);
    }
  }
}

}  // namespace espalier::train
