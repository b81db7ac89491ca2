#include "train/module_layers.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>

#include <map>
#include <string>

namespace espalier::train {
namespace {

using ::testing::HasSubstr;

struct Holder : torch::nn::Module {
  template <class Impl>
  explicit Holder(torch::nn::ModuleHolder<Impl> module) {
    register_module("inner", module.ptr());
  }
};

template <class Options>
WeightView ViewOfConv(const Options& options, const Dims& shape) {
  Holder holder{torch::nn::Conv2d(options)};
  const auto weights = FindModuleWeights(holder);
  EXPECT_EQ(weights.at(0).layer.shape, shape);
  return weights.at(0).layer.view;
}

TEST(ModuleLayers, ReadsConvolutions) {
  const WeightView plain = ViewOfConv(torch::nn::Conv2dOptions(8, 6, {3, 5}), {6, 8, 3, 5});
  EXPECT_EQ(plain, (WeightView{{}, {6, 120}, {8, 15}, {{3, 5}, {5, 1}}}));
  const WeightView grouped = ViewOfConv(torch::nn::Conv2dOptions(8, 6, 3).groups(2), {6, 4, 3, 3});
  EXPECT_EQ(grouped, (WeightView{{{2, 108}}, {3, 36}, {4, 9}, {{3, 3}, {3, 1}}}));
}

TEST(ModuleLayers, ReadsTransposedConvolutions) {
  Holder holder{torch::nn::ConvTranspose1d(torch::nn::ConvTranspose1dOptions(8, 6, 5).groups(2))};
  const auto weights = FindModuleWeights(holder);
  EXPECT_EQ(weights[0].layer.shape, (Dims{8, 3, 5}));
  EXPECT_EQ(weights[0].layer.view, (WeightView{{{2, 60}}, {3, 5}, {4, 15}, {{5, 1}}}));
  EXPECT_EQ(weights[0].layer.caution,
            "apex ASP leaves ConvTranspose1d alone; choose it with --only name:inner");
}

TEST(ModuleLayers, TellsPointwiseAndDepthwise) {
  Holder pointwise{torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 6, 1))};
  EXPECT_TRUE(FindModuleWeights(pointwise)[0].layer.pointwise);
  EXPECT_FALSE(FindModuleWeights(pointwise)[0].layer.depthwise);
  Holder depthwise{torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 8, 3).groups(8))};
  EXPECT_TRUE(FindModuleWeights(depthwise)[0].layer.depthwise);
}

TEST(ModuleLayers, NamesLayersByTheirModule) {
  Holder holder{torch::nn::Linear(8, 4)};
  const auto weights = FindModuleWeights(holder);
  ASSERT_EQ(weights.size(), 1u);  // the bias has one dimension
  EXPECT_EQ(weights[0].layer.name, "inner");
  EXPECT_EQ(weights[0].layer.weight, "inner.weight");
  EXPECT_EQ(weights[0].layer.op, "Linear");
  EXPECT_EQ(weights[0].parameter, "weight");
  torch::nn::Linear alone(8, 4);
  EXPECT_EQ(FindModuleWeights(*alone)[0].layer.name, "weight");
}

TEST(ModuleLayers, ReadsAttentionAndRecurrentWeights) {
  Holder attention{torch::nn::MultiheadAttention(16, 2)};
  const auto weights = FindModuleWeights(attention);
  ASSERT_EQ(weights.size(), 2u);
  EXPECT_EQ(weights[0].layer.weight, "inner.in_proj_weight");
  EXPECT_EQ(weights[0].layer.refusal, "");
  EXPECT_EQ(weights[1].layer.weight, "inner.out_proj.weight");
  Holder recurrent{torch::nn::LSTM(8, 16)};
  const auto gates = FindModuleWeights(recurrent);
  ASSERT_EQ(gates.size(), 2u);
  EXPECT_EQ(gates[1].layer.name, "inner.weight_hh_l0");
  EXPECT_EQ(gates[1].layer.kind, LayerKind::kRecurrent);
  EXPECT_THAT(gates[1].layer.caution, HasSubstr("apex ASP leaves LSTM alone"));
}

struct Strange : torch::nn::Module {
  Strange() {
    table = register_module("table", torch::nn::Embedding(10, 8));
    frozen = register_module("frozen", torch::nn::Linear(8, 8));
    frozen->weight.set_requires_grad(false);
    tied = register_module("tied", torch::nn::Linear(8, 10));
    tied->weight = tied->register_parameter("again", table->weight);
    register_parameter("own", at::zeros({2, 2}));
    register_parameter("empty", at::zeros({0, 4}));
  }
  torch::nn::Embedding table = nullptr;
  torch::nn::Linear frozen = nullptr;
  torch::nn::Linear tied = nullptr;
};

TEST(ModuleLayers, ListsWhatItRefusesWithTheReason) {
  Strange module;
  std::map<std::string, std::string> refusals;
  for (const ModuleWeight& weight : FindModuleWeights(module)) {
    refusals[weight.layer.weight] = weight.layer.refusal;
  }
  EXPECT_THAT(refusals.at("table.weight"), HasSubstr("a module Embedding, which is none of"));
  EXPECT_EQ(refusals.at("frozen.weight"), "it does not train (requires_grad is false)");
  EXPECT_EQ(refusals.at("tied.again"),
            "it is the same tensor as 'table.weight', which comes first");
  EXPECT_THAT(refusals.at("own"), HasSubstr("Strange"));
  EXPECT_EQ(refusals.at("empty"), "it has no elements");
}

}  // namespace
}  // namespace espalier::train
