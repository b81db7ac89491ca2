#include "train/optimizer_state.h"

#include <c10/util/C++17.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <initializer_list>

namespace espalier::train {
namespace {

std::vector<at::Tensor> Defined(std::initializer_list<at::Tensor> tensors) {
  std::vector<at::Tensor> defined;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) defined.push_back(tensor);
  }
  return defined;
}

}  // namespace

std::vector<at::Tensor> StateTensors(torch::optim::Optimizer& optimizer,
                                     const at::Tensor& parameter) {
  // The key that libtorch 1.13's optimizers file a parameter's state under.
  const auto entry = optimizer.state().find(c10::guts::to_string(parameter.unsafeGetTensorImpl()));
  if (entry == optimizer.state().end()) return {};
  torch::optim::OptimizerParamState* state = entry->second.get();
  if (auto* sgd = dynamic_cast<torch::optim::SGDParamState*>(state)) {
    return Defined({sgd->momentum_buffer()});
  }
  if (auto* adam = dynamic_cast<torch::optim::AdamParamState*>(state)) {
    return Defined({adam->exp_avg(), adam->exp_avg_sq(), adam->max_exp_avg_sq()});
  }
  if (auto* adamw = dynamic_cast<torch::optim::AdamWParamState*>(state)) {
    return Defined({adamw->exp_avg(), adamw->exp_avg_sq(), adamw->max_exp_avg_sq()});
  }
  if (auto* rmsprop = dynamic_cast<torch::optim::RMSpropParamState*>(state)) {
    return Defined({rmsprop->square_avg(), rmsprop->momentum_buffer(), rmsprop->grad_avg()});
  }
  if (auto* adagrad = dynamic_cast<torch::optim::AdagradParamState*>(state)) {
    return Defined({adagrad->sum()});
  }
  return {};
}

}  // namespace espalier::train
