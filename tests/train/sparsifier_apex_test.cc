// What a Python program with apex's ASP would do, done by python3-torch in torch_reference.py.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "espalier/train/sparsifier.h"
#include "tests/train/same_bits.h"
#include "tests/train/small_net.h"
#include "tests/train/torch_reference.h"
#include "train/torch_runtime.h"

namespace espalier::train {
namespace {

namespace fs = std::filesystem;

constexpr int kSteps = 12;

void Write(const fs::path& path, const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.detach().contiguous();
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(bytes.data_ptr()),
             static_cast<std::streamsize>(bytes.nbytes()));
  ASSERT_TRUE(file.good()) << path;
}

at::Tensor ReadLike(const fs::path& path, const at::Tensor& like) {
  at::Tensor tensor = at::empty_like(like.detach()).contiguous();
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  EXPECT_TRUE(file.good()) << path;
  return tensor;
}

class Apex : public ::testing::Test {
 protected:
  void SetUp() override {
    SetTorchThreads(1);
    at::manual_seed(11);
    net_ = std::make_shared<SmallNet>();
  }

  int Python(const std::string& task) const { return RunReference(task, folder_); }

  std::shared_ptr<SmallNet> net_;
  TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(const std::string& name,
                                                       std::vector<at::Tensor> parameters) {
  using torch::optim::SGDOptions;
  if (name == "adamw") {
    return std::make_unique<torch::optim::AdamW>(
        parameters, torch::optim::AdamWOptions(0.01).weight_decay(0.1));
  }
  return std::make_unique<torch::optim::SGD>(
      parameters, SGDOptions(0.05).momentum(0.9).weight_decay(1e-3).nesterov(name == "nesterov"));
}

void CompareWithReference(const fs::path& folder, SmallNet* net) {
  const auto buffers = net->named_buffers();
  for (const auto& parameter : net->named_parameters()) {
    const std::string& name = parameter.key();
    const at::Tensor want = ReadLike(folder / (name + ".out"), parameter.value());
    EXPECT_TRUE(SameBits(parameter.value(), want))
        << name << " differs by " << (parameter.value().detach() - want).abs().max().item<float>();
  }
  for (const std::string layer : {"conv", "fc"}) {
    const at::Tensor mask = buffers[layer + ".__weight_mma_mask"];
    EXPECT_TRUE(SameBits(mask, ReadLike(folder / (layer + ".mask"), mask))) << layer;
  }
}

TEST_F(Apex, WeightsEqualThoseOfThePythonWorkflowBitForBit) {
  SKIP_WITHOUT_PYTHON_TORCH();
  const at::Tensor input = at::randn({6, 3, 8, 8});
  const at::Tensor target = at::randn({6, 10});
  Write(folder_ / "input", input);
  Write(folder_ / "target", target);
  for (const auto& parameter : net_->named_parameters()) {
    Write(folder_ / (parameter.key() + ".in"), parameter.value());
  }
  ASSERT_EQ(Python("steps"), 0);
  for (const std::string name : {"momentum", "nesterov", "adamw"}) {
    SCOPED_TRACE(name);
    const auto net = std::make_shared<SmallNet>();
    for (const auto& parameter : net->named_parameters()) {
      parameter.value().detach().copy_(
          ReadLike(folder_ / (parameter.key() + ".in"), parameter.value()));
    }
    const auto optimizer = MakeOptimizer(name, net->parameters());
    Sparsifier sparsifier(*net, *optimizer, {});
    sparsifier.InitModel();
    sparsifier.InitOptimizer();
    for (int step = 0; step < kSteps; ++step) {
      if (step == kSteps / 3) sparsifier.ComputeMasks();
      optimizer->zero_grad();
      at::mse_loss(net->forward(input), target).backward();
      sparsifier.Step();
    }
    CompareWithReference(folder_ / name, net.get());
  }
}

TEST_F(Apex, StateDictsLoadBothWays) {
  SKIP_WITHOUT_PYTHON_TORCH();
  SparsifierRecipe recipe;
  recipe.allow_recompute_mask = true;
  torch::optim::SGD optimizer(net_->parameters(), torch::optim::SGDOptions(0.1));
  Sparsifier sparsifier(*net_, optimizer, recipe);
  sparsifier.PruneTrainedModel();
  torch::serialize::OutputArchive ours;
  net_->save(ours);
  ours.save_to((folder_ / "ours.pt").string());
  ASSERT_EQ(Python("state"), 0);  // loads it strictly, checks it and saves theirs.pt

  const auto loaded = std::make_shared<SmallNet>();
  torch::optim::SGD other(loaded->parameters(), torch::optim::SGDOptions(0.1));
  Sparsifier resumed(*loaded, other, recipe);
  resumed.InitModel();
  resumed.InitOptimizer();
  torch::serialize::InputArchive theirs;
  theirs.load_from((folder_ / "theirs.pt").string());
  loaded->load(theirs);
  for (const auto& buffer : net_->named_buffers()) {
    EXPECT_TRUE(SameBits(buffer.value(), loaded->named_buffers()[buffer.key()])) << buffer.key();
  }
  EXPECT_EQ(resumed.Verify(), "");
  EXPECT_EQ(resumed.Sparsity(), 0.5);
  sparsifier.RestorePrunedWeights();
  resumed.RestorePrunedWeights();
  EXPECT_TRUE(SameBits(net_->conv->weight, loaded->conv->weight));
}

}  // namespace
}  // namespace espalier::train
