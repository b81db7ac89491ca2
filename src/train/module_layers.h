#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "espalier/graph/layers.h"

namespace torch::nn {
class Module;
}

namespace espalier::train {

/// A weight of a torch::nn::Module.
struct ModuleWeight {
  Layer layer;                         ///< Named by the path of its module, "features.0".
  at::Tensor weight;                   ///< The parameter itself.
  torch::nn::Module* owner = nullptr;  ///< The submodule that registered it.
  std::string parameter;               ///< Its name there, without dots: "weight".
};

/// Finds the parameters of two and more dimensions, in the order of registration. Linear,
/// Conv1d-3d, ConvTranspose1d-3d, MultiheadAttention's projections, and RNN, LSTM, GRU and their
/// cells are layers; others are listed with a refusal, as are weights that do not train or are
/// shared. What apex ASP leaves alone (Conv3d, transposed and recurrent ones) has a caution.
/// @param module  Outlives the result.
std::vector<ModuleWeight> FindModuleWeights(torch::nn::Module& module);

}  // namespace espalier::train
