#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "espalier/io/atomic_file.h"
#include "espalier/prune/weight_store.h"

namespace espalier::cli {

/// A model of any format that the program reads.
class Model {
 public:
  virtual ~Model() = default;

  virtual WeightStore& weights() = 0;

  /// The network; null for formats that hold weights alone.
  virtual Graph* graph() { return nullptr; }

  /// Whether NVIDIA's alignment rule is the default for N:M: not for single matrices.
  virtual bool AlignsByDefault() const { return true; }

  /// Checks that the output can be written and, where it is written as it is made, opens it. Call
  /// before any change to the weights.
  virtual void OpenOutput(const std::filesystem::path& path, Overwrite overwrite) = 0;

  /// Makes the output appear.
  virtual void Commit() = 0;
};

/// @throws Error  kInvalidArgument if the output's extension is that of another format than the
/// input's.
void CheckOutputName(const std::filesystem::path& input, const std::filesystem::path& output);

/// Opens a model by its extension: .npy, .safetensors, .json (an index), .pth or .pt; anything else
/// is taken for ONNX.
/// @throws Error  kBadFile, kUnsupported: those of the readers.
std::unique_ptr<Model> OpenModel(const std::filesystem::path& path);

}  // namespace espalier::cli
