// Trains a small network, prunes it to 2:4 and trains on with the zeros held, as apex's ASP does in
// Python. Made-up data: which of ten patterns is under the noise?
//
//   sparsifier [STEPS]

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <string>

#include "espalier/base/error.h"
#include "espalier/train/sparsifier.h"

namespace {

struct Net : torch::nn::Module {
  Net() {
    stem = register_module("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 16, 3)));
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 3)));
    fc = register_module("fc", torch::nn::Linear(32 * 4 * 4, 32));
    head = register_module("head", torch::nn::Linear(32, 10));
  }
  at::Tensor forward(const at::Tensor& images) {
    const at::Tensor features = at::relu(conv->forward(at::relu(stem->forward(images))));
    return head->forward(at::relu(fc->forward(features.flatten(1))));
  }
  torch::nn::Conv2d stem = nullptr;
  torch::nn::Conv2d conv = nullptr;
  torch::nn::Linear fc = nullptr;
  torch::nn::Linear head = nullptr;
};

struct Batch {
  at::Tensor images;  // [N, 1, 8, 8]
  at::Tensor labels;  // [N]
};

// Ten fixed 8x8 patterns, one under the noise of each image.
Batch MakeBatch(std::int64_t size) {
  static const at::Tensor patterns = at::randn({10, 1, 8, 8});
  const at::Tensor labels = at::randint(10, {size}, at::kLong);
  return {patterns.index_select(0, labels) + 2 * at::randn({size, 1, 8, 8}), labels};
}

double Accuracy(Net& net, const Batch& test) {
  const at::NoGradGuard no_grad;
  return net.forward(test.images).argmax(1).eq(test.labels).to(at::kFloat).mean().item<double>();
}

void Report(const std::string& when, Net& net, const Batch& test) {
  std::cout << std::left << std::setw(24) << when << std::fixed << std::setprecision(1)
            << 100 * Accuracy(net, test) << " %\n";
}

int Run(int steps) {
  at::manual_seed(1);
  const Batch test = MakeBatch(2000);
  const auto net = std::make_shared<Net>();
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  const auto backward = [&] {
    const Batch batch = MakeBatch(64);
    optimizer.zero_grad();
    at::cross_entropy_loss(net->forward(batch.images), batch.labels).backward();
  };
  for (int step = 0; step < steps; ++step) {
    backward();
    optimizer.step();
  }
  Report("dense", *net, test);

  espalier::train::Sparsifier sparsifier(*net, optimizer, {});  // 2:4 by magnitude
  sparsifier.PruneTrainedModel();
  Report("pruned to 2:4", *net, test);

  for (int step = 0; step < steps; ++step) {
    backward();
    sparsifier.Step();  // in place of optimizer.step()
  }
  Report("trained on, zeros held", *net, test);

  for (const espalier::train::SparsifierLayer& layer : sparsifier.Layers()) {
    std::cout << std::left << std::setw(6) << layer.name
              << (layer.masked ? std::to_string(layer.dropped) + " of " +
                                     std::to_string(layer.elements) + " weights are zero"
                               : "dense: " + layer.reason)
              << '\n';
  }
  const std::string breach = sparsifier.Verify();
  std::cout << (breach.empty() ? "2:4 holds" : breach) << '\n';
  return breach.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc > 1 ? std::atoi(argv[1]) : 150);
  } catch (const espalier::Error& error) {
    std::cerr << "sparsifier: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
