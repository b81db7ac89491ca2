// What holding masks adds to a training step: Sparsifier::Step() beside optimizer.step(), the
// control, on twin networks in turn, one thread. The last column is the time to compute all masks
// anew (unstructured 75 %), which a schedule does up to 100 times in a training.
//
//   mask_bench [TURNS]
#include <ATen/ATen.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bench/ratio.h"
#include "espalier/train/sparsifier.h"
#include "train/torch_runtime.h"

namespace espalier::train {
namespace {

struct Twin {
  torch::nn::Sequential net;
  at::Tensor input;
};

struct BenchCase {
  std::string name;
  std::function<Twin()> make;
};

// The 3x3 convolutions of ResNet-20 for CIFAR-10, 0.27 M weights.
Twin ResNet20() {
  torch::nn::Sequential net;
  std::int64_t channels = 3;
  for (const std::int64_t width : {16, 32, 64}) {
    for (int i = 0; i < (width == 16 ? 7 : 6); ++i) {
      const int stride = channels != width && width > 16 ? 2 : 1;
      net->push_back(torch::nn::Conv2d(
          torch::nn::Conv2dOptions(channels, width, 3).stride(stride).padding(1)));
      net->push_back(torch::nn::ReLU());
      channels = width;
    }
  }
  return {net, at::randn({64, 3, 32, 32})};
}

// The matrices of two ViT-Tiny blocks, 0.9 M weights, 65 tokens an image.
Twin Transformer() {
  torch::nn::Sequential net;
  for (int block = 0; block < 2; ++block) {
    for (const auto& [in, out] : {std::pair{192, 576}, {576, 192}, {192, 768}, {768, 192}}) {
      net->push_back(torch::nn::Linear(in, out));
    }
    net->push_back(torch::nn::ReLU());
  }
  return {net, at::randn({32 * 65, 192})};
}

// 16.8 M weights for 64 samples: the most mask for the least work, a bound rather than a network.
Twin FullyConnected() {
  torch::nn::Sequential net;
  net->push_back(torch::nn::Linear(4096, 4096));
  return {net, at::randn({64, 4096})};
}

struct Times {
  std::vector<double> backward;
  std::vector<double> step;
};

// One training step, timed in two parts.
template <class Step>
void Turn(Twin& twin, torch::optim::Optimizer& optimizer, const Step& step, Times* times) {
  times->backward.push_back(SecondsOf([&] {
    optimizer.zero_grad();
    twin.net->forward(twin.input).square().mean().backward();
  }));
  times->step.push_back(SecondsOf(step));
}

torch::optim::SGD Optimizer(const Twin& twin) {
  auto options = torch::optim::SGDOptions(1e-3).momentum(0.9).weight_decay(1e-4);
  return torch::optim::SGD(twin.net->parameters(), options);
}

void RunCase(const BenchCase& which, int turns) {
  at::manual_seed(1);
  Twin dense = which.make();
  Twin sparse = which.make();
  torch::optim::SGD dense_optimizer = Optimizer(dense);
  torch::optim::SGD sparse_optimizer = Optimizer(sparse);
  SparsifierRecipe recipe;
  recipe.pattern = "unstructured";
  recipe.sparsity = 0.75;
  recipe.alignment = Alignment::kNone;
  Sparsifier sparsifier(*sparse.net, sparse_optimizer, recipe);
  sparsifier.PruneTrainedModel();
  Times control, held;
  std::vector<double> compute;
  for (int turn = 0; turn < turns; ++turn) {
    Turn(
        dense, dense_optimizer, [&] { dense_optimizer.step(); }, &control);
    Turn(
        sparse, sparse_optimizer, [&] { sparsifier.Step(); }, &held);
    compute.push_back(SecondsOf([&] { sparsifier.ComputeMasks(); }));
  }
  const double step = Quantile(control.backward, 0.5) + Quantile(control.step, 0.5);
  const double added = Quantile(held.step, 0.5) - Quantile(control.step, 0.5);
  fmt::print("{:<24}{:>10.2f}{:>10.2f}{:>10.2f}{:>9.2f} %{:>12.2f}\n", which.name, step * 1e3,
             Quantile(control.step, 0.5) * 1e3, Quantile(held.step, 0.5) * 1e3, 100 * added / step,
             Quantile(compute, 0.5) * 1e3);
}

int Main(int argc, char** argv) {
  const int turns = argc > 1 ? std::atoi(argv[1]) : 31;
  SetTorchThreads(1);
  fmt::print("one thread, {}, {}, medians of {} turns in ms of CPU time\n", ActiveIsa(), BlasText(),
             turns);
  fmt::print("{:<24}{:>10}{:>10}{:>10}{:>11}{:>12}\n", "network", "step", "optimizer", "+ masks",
             "added", "new masks");
  const BenchCase cases[] = {{"resnet20, batch 64", &ResNet20},
                             {"transformer, batch 32", &Transformer},
                             {"fc 4096, batch 64", &FullyConnected}};
  for (const BenchCase& which : cases) RunCase(which, turns);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace espalier::train

int main(int argc, char** argv) { return espalier::train::Main(argc, argv); }
