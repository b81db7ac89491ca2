#pragma once

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

namespace espalier::train {

/// Two layers that sparse tensor cores take (conv, fc) between two that they do not (stem: 3 input
/// channels; head: 10 outputs). [N, 3, 8, 8] -> [N, 10].
struct SmallNet : torch::nn::Module {
  SmallNet() {
    stem = register_module("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 16, 3)));
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 3)));
    fc = register_module("fc", torch::nn::Linear(32, 16));
    head = register_module("head", torch::nn::Linear(16, 10));
  }

  at::Tensor forward(const at::Tensor& input) {
    const at::Tensor features = at::relu(conv->forward(at::relu(stem->forward(input))));
    return head->forward(at::relu(fc->forward(features.mean({2, 3}))));
  }

  torch::nn::Conv2d stem = nullptr;
  torch::nn::Conv2d conv = nullptr;
  torch::nn::Linear fc = nullptr;
  torch::nn::Linear head = nullptr;
};

}  // namespace espalier::train
