#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "espalier/graph/tensor.h"
#include "train/tensor_convert.h"

namespace espalier::train {

/// A file of ../shared, or an empty path if this checkout has none.
inline std::filesystem::path SharedFile(const std::string& name) {
  const char* shared = std::getenv("ESPALIER_SHARED");
  const std::filesystem::path path =
      std::filesystem::path(shared == nullptr ? "../shared" : shared) / name;
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

inline std::map<std::string, at::Tensor> ToTorch(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, at::Tensor> converted;
  for (const auto& [name, tensor] : tensors) converted.emplace(name, ToTorch(tensor));
  return converted;
}

/// Largest difference, relative to the largest value.
inline double Difference(const at::Tensor& got, const at::Tensor& want) {
  if (want.numel() == 0) return 0;
  const at::Tensor wanted = want.to(at::kDouble);
  const double scale = std::max(wanted.abs().max().item().toDouble(), 1e-30);
  return (got.to(at::kDouble) - wanted).abs().max().item().toDouble() / scale;
}

}  // namespace espalier::train
