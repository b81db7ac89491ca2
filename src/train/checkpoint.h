#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <map>
#include <string>

namespace espalier::train {

/// What a training needs to go on: tensors and notes by name, in a safetensors file.
struct Checkpoint {
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, std::string> notes;
};

/// Writes it whole or not at all, over an older one.
/// @throws Error  kWriteFailed as AtomicFile.
void WriteCheckpoint(const Checkpoint& checkpoint, const std::filesystem::path& path);

/// @throws Error  kBadFile, naming the file: unreadable, malformed, not one of Espalier's
///                checkpoints, or of another version.
Checkpoint ReadCheckpoint(const std::filesystem::path& path);

/// The tensors whose names begin with `prefix`, without it.
std::map<std::string, at::Tensor> TensorsUnder(const Checkpoint& checkpoint,
                                               const std::string& prefix);

/// Copies `from` into the tensor `to`, in place.
/// @throws Error  kBadFile if it is missing or has another shape.
void CopyInto(const at::Tensor& to, const std::map<std::string, at::Tensor>& from,
              const std::string& name);

}  // namespace espalier::train
