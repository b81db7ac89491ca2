#include "train/module_layers.h"

#include <fmt/format.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "espalier/prune/weight_store.h"

namespace espalier::train {
namespace {

constexpr std::string_view kKnownLayers =
    "Linear, Conv1d to Conv3d, ConvTranspose1d to 3d, MultiheadAttention, RNN, LSTM, GRU";

struct ConvTraits {
  std::string op;
  std::int64_t groups = 1;
  bool transposed = false;
};

template <class Impl>
bool ReadConv(torch::nn::Module& module, const char* op, ConvTraits* traits) {
  const auto* conv = module.as<Impl>();
  if (conv == nullptr) return false;
  *traits = {op, conv->options.groups(), conv->options.transposed()};
  return true;
}

bool ReadAnyConv(torch::nn::Module& module, ConvTraits* traits) {
  using namespace torch::nn;  // six class names of one family
  return ReadConv<Conv1dImpl>(module, "Conv1d", traits) ||
         ReadConv<Conv2dImpl>(module, "Conv2d", traits) ||
         ReadConv<Conv3dImpl>(module, "Conv3d", traits) ||
         ReadConv<ConvTranspose1dImpl>(module, "ConvTranspose1d", traits) ||
         ReadConv<ConvTranspose2dImpl>(module, "ConvTranspose2d", traits) ||
         ReadConv<ConvTranspose3dImpl>(module, "ConvTranspose3d", traits);
}

// "LSTM" for torch::nn::LSTMImpl.
std::string ClassOf(const torch::nn::Module& module) {
  std::string name = module.name();
  constexpr std::string_view kSpace = "torch::nn::";
  constexpr std::string_view kSuffix = "Impl";
  if (name.starts_with(kSpace)) name.erase(0, kSpace.size());
  if (name.ends_with(kSuffix)) name.erase(name.size() - kSuffix.size());
  return name;
}

// [K, C / groups, ...], or [C, K / groups, ...] if transposed.
void ViewAsConv(const ConvTraits& traits, Layer* layer) {
  const std::int64_t groups = traits.groups;
  WeightView& view = layer->view;
  const Axis first = {layer->shape[0] / groups, view.out.stride};
  const Axis second = view.in;
  view.out = traits.transposed ? second : first;
  view.in = traits.transposed ? first : second;
  if (groups > 1) view.groups = {{groups, first.size * first.stride}};
  layer->op = traits.op;
  layer->depthwise = groups > 1 && view.in.size == 1;
  layer->pointwise = groups == 1 && view.PositionCount() == 1;
  if (traits.transposed || layer->shape.size() == 5) {
    layer->caution = fmt::format("apex ASP leaves {} alone; choose it with --only name:{}",
                                 traits.op, layer->name);
  }
}

bool IsRecurrent(std::string_view op) {
  constexpr std::array<std::string_view, 6> kOps = {"RNN",     "LSTM",     "GRU",
                                                    "RNNCell", "LSTMCell", "GRUCell"};
  return std::ranges::find(kOps, op) != kOps.end();
}

// Sets how the layer reads its weight, or why it is refused.
void Describe(torch::nn::Module& owner, const std::string& parameter, Layer* layer) {
  layer->op = ClassOf(owner);
  const bool is_matrix = layer->shape.size() == 2;
  ConvTraits conv;
  if (parameter == "weight" && ReadAnyConv(owner, &conv)) {
    ViewAsConv(conv, layer);
  } else if (parameter == "weight" && owner.as<torch::nn::LinearImpl>() != nullptr) {
    layer->op = "Linear";
  } else if (layer->op == "MultiheadAttention" && is_matrix && parameter.ends_with("weight")) {
    return;
  } else if (IsRecurrent(layer->op) && is_matrix) {
    layer->kind = LayerKind::kRecurrent;
    layer->caution = fmt::format("apex ASP leaves {} alone; choose it with --only name:{}",
                                 layer->op, layer->name);
  } else {
    layer->refusal =
        fmt::format("it belongs to a module {}, which is none of {}", layer->op, kKnownLayers);
  }
}

DType DTypeOf(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return DType::kFloat32;
    case at::kHalf:
      return DType::kFloat16;
    case at::kBFloat16:
      return DType::kBFloat16;
    case at::kDouble:
      return DType::kFloat64;
    default:
      return DType::kUnknown;
  }
}

ModuleWeight WeightOf(torch::nn::Module& owner, const std::string& path,
                      const std::string& parameter, const at::Tensor& tensor) {
  const std::string full = path.empty() ? parameter : fmt::format("{}.{}", path, parameter);
  ModuleWeight weight;
  weight.layer = LayerOfTensor(full, DTypeOf(tensor), tensor.sizes().vec());
  if (parameter == "weight" && !path.empty()) weight.layer.name = path;
  weight.layer.readers = {path.empty() ? ClassOf(owner) : path};
  weight.weight = tensor;
  weight.owner = &owner;
  weight.parameter = parameter;
  Describe(owner, parameter, &weight.layer);
  if (weight.layer.dtype == DType::kUnknown) {
    weight.layer.refusal = fmt::format("its type is {}", toString(tensor.scalar_type()));
  } else if (tensor.numel() == 0) {
    weight.layer.refusal = "it has no elements";
  } else if (!tensor.requires_grad()) {
    weight.layer.refusal = "it does not train (requires_grad is false)";
  }
  return weight;
}

void AddWeights(torch::nn::Module& module, const std::string& path,
                std::vector<ModuleWeight>* weights) {
  for (const auto& parameter : module.named_parameters(/*recurse=*/false)) {
    if (!parameter.value().defined() || parameter.value().dim() < 2) continue;
    weights->push_back(WeightOf(module, path, parameter.key(), parameter.value()));
    const auto first = std::ranges::find_if(*weights, [&](const ModuleWeight& other) {
      return other.weight.is_same(parameter.value());
    });
    if (first + 1 != weights->end()) {
      weights->back().layer.refusal =
          fmt::format("it is the same tensor as '{}', which comes first", first->layer.weight);
    }
  }
  for (const auto& child : module.named_children()) {
    AddWeights(*child.value(), path.empty() ? child.key() : fmt::format("{}.{}", path, child.key()),
               weights);
  }
}

}  // namespace

std::vector<ModuleWeight> FindModuleWeights(torch::nn::Module& module) {
  std::vector<ModuleWeight> weights;
  AddWeights(module, "", &weights);
  return weights;
}

}  // namespace espalier::train
