#pragma once

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstring>

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

/// Equal bit for bit, so that -0.0 differs from 0.0 and NaN equals itself.
inline bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().contiguous();
  const at::Tensor y = b.detach().contiguous();
  return x.nbytes() == y.nbytes() && std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
}

}  // namespace espalier::train
