#include "espalier/train/sparsifier.h"

#include <ATen/ATen.h>
#include <c10/util/C++17.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/sgd.h>

#include <algorithm>

#include "espalier/pattern/nm.h"
#include "tests/train/expect_error.h"
#include "tests/train/same_bits.h"
#include "tests/train/small_net.h"
#include "train/optimizer_state.h"

namespace espalier::train {
namespace {

using ::testing::HasSubstr;

struct Case {
  Case() : optimizer(net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9)) {}

  void Backward() {
    optimizer.zero_grad();
    at::mse_loss(net->forward(at::randn({4, 3, 8, 8})), at::randn({4, 10})).backward();
  }

  std::shared_ptr<SmallNet> net = std::make_shared<SmallNet>();
  torch::optim::SGD optimizer;
};

SparsifierRecipe Unstructured() {
  SparsifierRecipe recipe;
  recipe.pattern = "unstructured";
  recipe.alignment = Alignment::kNone;
  return recipe;
}

TEST(Sparsifier, FollowsTheWorkflowOfAsp) {
  at::manual_seed(1);
  Case c;
  Sparsifier sparsifier(*c.net, c.optimizer, {});
  sparsifier.InitModel();
  sparsifier.InitOptimizer();
  EXPECT_FALSE(sparsifier.IsEnabled());
  const PruneReport report = sparsifier.ComputeMasks();
  EXPECT_EQ(report.pattern, "2:4");
  EXPECT_TRUE(sparsifier.IsEnabled());
  EXPECT_EQ(sparsifier.Sparsity(), 0.5);
  for (int step = 0; step < 5; ++step) {
    c.Backward();
    sparsifier.Step();
    EXPECT_EQ(sparsifier.Verify(), "");
    const at::Tensor gone = c.net->fc->named_buffers()["__weight_mma_mask"].logical_not();
    EXPECT_FALSE(c.net->fc->weight.grad().masked_select(gone).ne(0).any().item<bool>());
  }
  EXPECT_EQ(sparsifier.steps(), 5);
  const at::Tensor groups = c.net->fc->weight.detach().view({16, 8, 4}).ne(0).sum(2);
  EXPECT_TRUE(groups.eq(2).all().item<bool>());
}

// Moves every weight, whatever its gradient.
struct Drift : torch::optim::Optimizer {
  explicit Drift(const std::vector<at::Tensor>& parameters)
      : Optimizer(parameters, std::make_unique<torch::optim::SGDOptions>(0.1)) {}
  at::Tensor step(LossClosure) override {
    for (const at::Tensor& weight : param_groups()[0].params()) weight.detach().sub_(0.5);
    return {};
  }
};

TEST(Sparsifier, HoldsZerosUnderOptimizersThatMoveThem) {
  Case c;
  Drift drift(c.net->parameters());
  Sparsifier sparsifier(*c.net, drift, {});
  sparsifier.PruneTrainedModel();
  sparsifier.Step();
  EXPECT_EQ(sparsifier.Verify(), "");
}

TEST(Sparsifier, ClearsTheMomentumOfWhatItDrops) {
  at::manual_seed(5);
  Case c;
  Sparsifier sparsifier(*c.net, c.optimizer, {});
  sparsifier.InitModel();
  sparsifier.InitOptimizer();
  c.Backward();
  sparsifier.Step();
  const at::Tensor weight = c.net->fc->weight;
  const at::Tensor momentum = StateTensors(c.optimizer, weight).at(0);
  const at::Tensor before = momentum.clone();
  sparsifier.ComputeMasks();
  const at::Tensor mask = c.net->fc->named_buffers()["__weight_mma_mask"];
  EXPECT_TRUE(SameBits(momentum, at::where(mask, before, at::zeros_like(before))));
  EXPECT_FALSE(SameBits(momentum, before));
}

TEST(Sparsifier, RegistersBuffersAsAspNamesThem) {
  Case c;
  SparsifierRecipe recipe;
  recipe.allow_recompute_mask = true;
  Sparsifier sparsifier(*c.net, c.optimizer, recipe);
  sparsifier.PruneTrainedModel();
  const auto buffers = c.net->named_buffers();
  std::vector<std::string> names = buffers.keys();
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"conv.__weight_mma_mask", "conv.__weight_mma_pruned_p",
                                             "fc.__weight_mma_mask", "fc.__weight_mma_pruned_p"}));
  EXPECT_EQ(buffers["fc.__weight_mma_mask"].scalar_type(), at::kBool);
  const at::Tensor pruned = buffers["fc.__weight_mma_pruned_p"];
  EXPECT_EQ(pruned.ne(0).sum().item<std::int64_t>(), 256);
  EXPECT_FALSE(pruned.ne(0).logical_and(buffers["fc.__weight_mma_mask"]).any().item<bool>());
}

TEST(Sparsifier, ListsEveryLayerWithItsReason) {
  Case c;
  SparsifierRecipe recipe;
  recipe.skip = "name:fc,name:absent";
  Sparsifier sparsifier(*c.net, c.optimizer, recipe);
  sparsifier.PruneTrainedModel();
  const auto layers = sparsifier.Layers();
  ASSERT_EQ(layers.size(), 4u);
  EXPECT_EQ(layers[0].name, "stem");
  EXPECT_EQ(layers[0].reason, "C/groups = 3 is not a multiple of 16");
  EXPECT_TRUE(layers[1].masked);
  EXPECT_EQ(layers[1].op, "Conv2d");
  EXPECT_EQ(layers[1].elements, 32 * 16 * 9);
  EXPECT_EQ(layers[1].dropped, 32 * 16 * 9 / 2);
  EXPECT_EQ(layers[2].reason, "--skip name:fc");
  EXPECT_EQ(layers[3].weight, "head.weight");
  EXPECT_EQ(layers[3].reason, "K = 10 is not a multiple of 8");
  EXPECT_EQ(sparsifier.warnings(),
            std::vector<std::string>{"the selection 'name:absent' matches no layer"});
}

TEST(Sparsifier, RestoresAndRecomputes) {
  at::manual_seed(2);
  Case c;
  const at::Tensor dense = c.net->conv->weight.detach().clone();
  SparsifierRecipe recipe;
  recipe.allow_recompute_mask = true;
  Sparsifier sparsifier(*c.net, c.optimizer, recipe);
  sparsifier.PruneTrainedModel();
  const at::Tensor masked = c.net->conv->weight.detach().clone();
  sparsifier.ComputeMasks();
  EXPECT_TRUE(SameBits(c.net->conv->weight, masked));
  sparsifier.RestorePrunedWeights();
  EXPECT_TRUE(SameBits(c.net->conv->weight, dense));
  EXPECT_FALSE(sparsifier.IsEnabled());
  sparsifier.ComputeMasks();
  EXPECT_TRUE(SameBits(c.net->conv->weight, masked));
}

TEST(Sparsifier, FollowsAGradualSchedule) {
  at::manual_seed(3);
  Case c;
  SparsifierRecipe recipe = Unstructured();
  recipe.scope = RankScope::kGlobal;
  recipe.schedule = GmpOver(20, 0.2, 0.9);
  recipe.schedule->stable_steps = 2;
  recipe.schedule->updates = 5;
  Sparsifier sparsifier(*c.net, c.optimizer, recipe);
  sparsifier.PruneTrainedModel();
  EXPECT_FALSE(sparsifier.IsEnabled());
  const SparsitySchedule schedule(*recipe.schedule);
  for (std::int64_t step = 0; step < 20; ++step) {
    c.Backward();
    sparsifier.Step();
    // Step() has made the masks of the next step.
    EXPECT_NEAR(sparsifier.Sparsity(), schedule.At(step + 1).amount, 1e-3) << step;
    EXPECT_EQ(sparsifier.Verify(), "") << step;
  }
  EXPECT_EQ(schedule.At(20).amount, 0.9);
}

std::string StateKey(const at::Tensor& parameter) {
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
}

// Weights, momentum and buffers, as a checkpoint hands them over.
void CopyState(Case& from, Case* to) {
  const at::NoGradGuard no_grad;
  const auto source = from.net->parameters();
  const auto target = to->net->parameters();
  for (std::size_t i = 0; i < source.size(); ++i) {
    target[i].copy_(source[i]);
    const auto state = from.optimizer.state().find(StateKey(source[i]));
    if (state == from.optimizer.state().end()) continue;
    to->optimizer.state()[StateKey(target[i])] = state->second->clone();
  }
  for (const auto& buffer : to->net->named_buffers()) {
    buffer.value().copy_(from.net->named_buffers()[buffer.key()]);
  }
}

// 14 steps; before step `stop` all goes on in a new process's objects.
std::vector<at::Tensor> RunWithAStop(const SparsifierRecipe& recipe, std::int64_t stop) {
  at::manual_seed(4);
  auto c = std::make_unique<Case>();
  auto sparsifier = std::make_unique<Sparsifier>(*c->net, c->optimizer, recipe);
  sparsifier->PruneTrainedModel();
  for (std::int64_t step = 0; step < 14; ++step) {
    if (step == stop) {
      auto next = std::make_unique<Case>();
      sparsifier = std::make_unique<Sparsifier>(*next->net, next->optimizer, recipe);
      sparsifier->InitModel();
      sparsifier->InitOptimizer();
      CopyState(*c, next.get());
      sparsifier->SetSteps(step);
      c = std::move(next);
    }
    at::manual_seed(static_cast<std::uint64_t>(100 + step));
    c->Backward();
    sparsifier->Step();
  }
  EXPECT_GT(sparsifier->Sparsity(), 0.79);
  std::vector<at::Tensor> results = c->net->parameters();
  for (const at::Tensor& buffer : c->net->buffers()) results.push_back(buffer);
  return results;
}

TEST(Sparsifier, ResumesExactlyInTheMiddleOfASchedule) {
  for (const bool keep_dense : {false, true}) {
    SparsifierRecipe recipe = Unstructured();
    recipe.schedule = GmpOver(16, 0.1, 0.8);
    recipe.schedule->stable_steps = 1;
    recipe.schedule->updates = 4;
    recipe.allow_recompute_mask = keep_dense;
    const std::vector<at::Tensor> unbroken = RunWithAStop(recipe, -1);
    for (const std::int64_t stop : {0, 1, 2, 3, 5, 7, 9, 13}) {
      const std::vector<at::Tensor> resumed = RunWithAStop(recipe, stop);
      ASSERT_EQ(resumed.size(), unbroken.size());
      for (std::size_t i = 0; i < unbroken.size(); ++i) {
        EXPECT_TRUE(SameBits(resumed[i], unbroken[i])) << keep_dense << " " << stop << " " << i;
      }
    }
  }
}

TEST(Sparsifier, TakesPatternsOfTheCallersOwn) {
  Case c;
  SparsifierRecipe recipe;
  recipe.patterns.Add({"quarter", "one of four", [](std::string_view spec) {
                         return spec == "quarter" ? ParseNm("1:4") : nullptr;
                       }});
  recipe.pattern = "quarter";
  recipe.only = "linear";
  Sparsifier sparsifier(*c.net, c.optimizer, recipe);
  sparsifier.PruneTrainedModel();
  EXPECT_EQ(sparsifier.Sparsity(), 0.75);
  EXPECT_EQ(sparsifier.Layers()[1].reason, "not chosen by --only");
}

TEST(Sparsifier, MasksTheGradientsOfEachCallOfTheClosure) {
  Case c;
  Sparsifier sparsifier(*c.net, c.optimizer, {});
  sparsifier.PruneTrainedModel();
  const at::Tensor loss = sparsifier.Step([&] {
    const at::AutoGradMode grad(true);
    c.optimizer.zero_grad();
    at::Tensor value = c.net->forward(at::ones({1, 3, 8, 8})).sum();
    value.backward();
    return value;
  });
  EXPECT_TRUE(loss.defined());
  const at::Tensor mask = c.net->fc->named_buffers()["__weight_mma_mask"];
  EXPECT_FALSE(c.net->fc->weight.grad().masked_select(mask.logical_not()).ne(0).any().item<bool>());
  EXPECT_EQ(sparsifier.Verify(), "");
}

TEST(Sparsifier, WarnsOfWeightsThatTheOptimizerLacks) {
  Case c;
  torch::optim::SGD only_fc(c.net->fc->parameters(), torch::optim::SGDOptions(0.1));
  Sparsifier sparsifier(*c.net, only_fc, {});
  sparsifier.PruneTrainedModel();
  EXPECT_EQ(sparsifier.warnings(),
            std::vector<std::string>{"the optimizer does not have 'conv.weight'"});
}

TEST(Sparsifier, InsistsOnTheOrderOfCalls) {
  Case c;
  const auto refuses = [](const auto& work, const char* text) {
    ExpectError(work, ErrorCode::kInvalidArgument, text);
  };
  Sparsifier sparsifier(*c.net, c.optimizer, {});
  refuses([&] { sparsifier.InitOptimizer(); }, "InitModel() before InitOptimizer()");
  refuses([&] { sparsifier.ComputeMasks(); }, "InitModel() before ComputeMasks()");
  refuses([&] { sparsifier.MaskGradients(); }, "InitModel() before MaskGradients()");
  refuses([&] { sparsifier.Step(); }, "InitOptimizer() before Step()");
  refuses([&] { sparsifier.SetSteps(-1); }, "-1 steps");
  sparsifier.PruneTrainedModel();
  refuses([&] { sparsifier.InitModel(); }, "InitModel() was called before");
  refuses([&] { sparsifier.InitOptimizer(); }, "InitOptimizer() was called before");
  refuses([&] { sparsifier.RestorePrunedWeights(); }, "'conv' was not kept");
  Sparsifier second(*c.net, c.optimizer, {});
  refuses([&] { second.InitModel(); }, "'conv.weight' has a mask already");
}

TEST(Sparsifier, RejectsRecipesThatMakeNoSense) {
  Case c;
  const auto rejects = [&](const SparsifierRecipe& recipe, const char* text) {
    ExpectError([&] { Sparsifier(*c.net, c.optimizer, recipe); }, ErrorCode::kInvalidArgument,
                text);
  };
  SparsifierRecipe recipe;
  recipe.pattern = "2:5:7";
  rejects(recipe, "2:5:7");
  recipe = {};
  recipe.criterion = "loudness";
  rejects(recipe, "loudness");
  recipe = {};
  recipe.only = "convolution";
  rejects(recipe, "convolution");
  recipe = {};
  recipe.sparsity = 0.5;
  rejects(recipe, "pattern 2:4 has its ratio built in");
  recipe = {};
  recipe.schedule = GmpOver(10, 0, 0.5);
  rejects(recipe, "one-shot or constant schedule");
  recipe = Unstructured();
  rejects(recipe, "pattern unstructured needs a sparsity, a threshold or a schedule");
  recipe.sparsity = 0.5;
  recipe.schedule = GmpOver(10, 0, 0.5);
  rejects(recipe, "a schedule, which sets the amount, and a sparsity");
  recipe.schedule.reset();
  recipe.sparsity = 1.5;
  Sparsifier late(*c.net, c.optimizer, recipe);
  ExpectError([&] { late.PruneTrainedModel(); }, ErrorCode::kInvalidArgument, "1.5");
}

TEST(Sparsifier, TurnsTorchErrorsIntoOurs) {
  Case c;
  Sparsifier sparsifier(*c.net, c.optimizer, {});
  sparsifier.PruneTrainedModel();
  ExpectError(
      [&] {
        sparsifier.Step([]() -> at::Tensor { return at::ones({2, 3}).matmul(at::ones({2, 3})); });
      },
      ErrorCode::kInvalidArgument, "a step of the optimizer: ");
}

}  // namespace
}  // namespace espalier::train
