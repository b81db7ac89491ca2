#include "train/checkpoint.h"

#include <fmt/format.h>

#include <optional>
#include <span>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/io/safetensors.h"
#include "train/tensor_convert.h"

namespace espalier::train {
namespace {

constexpr const char* kFormatNote = "espalier_training";
constexpr const char* kVersion = "1";

DType StoredType(at::ScalarType type) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16,
                            DType::kInt64, DType::kUint8, DType::kBool}) {
    if (TorchType(dtype) == type) return dtype;
  }
  throw Error(ErrorCode::kInternal, "a checkpoint has a tensor of a type that it cannot store");
}

Error Bad(const std::filesystem::path& path, const std::string& what) {
  return Error(ErrorCode::kBadFile, fmt::format("{}: {}", path.string(), what));
}

at::Tensor ReadTensor(const InputFile& file, const SafetensorsEntry& entry) {
  std::vector<std::byte> bytes(entry.end - entry.begin);
  file.ReadAt(entry.begin, bytes);
  return ToTorch(Tensor(entry.dtype, entry.shape, std::move(bytes)));
}

}  // namespace

void WriteCheckpoint(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  std::vector<at::Tensor> kept;  // contiguous ones on the CPU, until they are written
  std::vector<SafetensorsTensor> tensors;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    kept.push_back(tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& values = kept.back();
    tensors.push_back({name,
                       StoredType(values.scalar_type()),
                       values.sizes().vec(),
                       {static_cast<const std::byte*>(values.data_ptr()), values.nbytes()}});
  }
  std::map<std::string, std::string> notes = checkpoint.notes;
  notes.emplace(kFormatNote, kVersion);
  WriteSafetensors(path, Overwrite::kYes, tensors, notes);
}

Checkpoint ReadCheckpoint(const std::filesystem::path& path) {
  const InputFile file(path);
  SafetensorsHeader header = ReadSafetensorsHeader(file);
  const auto version = header.metadata.find(kFormatNote);
  if (version == header.metadata.end()) {
    throw Bad(path, "this is no checkpoint of a training; it cannot be resumed");
  }
  if (version->second != kVersion) {
    throw Bad(path, fmt::format("a checkpoint of format {}; this program reads {}", version->second,
                                kVersion));
  }
  Checkpoint checkpoint;
  for (const SafetensorsEntry& entry : header.entries) {
    checkpoint.tensors.emplace(entry.name, ReadTensor(file, entry));
  }
  checkpoint.notes = std::move(header.metadata);
  return checkpoint;
}

std::map<std::string, at::Tensor> TensorsUnder(const Checkpoint& checkpoint,
                                               const std::string& prefix) {
  std::map<std::string, at::Tensor> found;
  for (auto it = checkpoint.tensors.lower_bound(prefix);
       it != checkpoint.tensors.end() && it->first.starts_with(prefix); ++it) {
    found.emplace(it->first.substr(prefix.size()), it->second);
  }
  return found;
}

void CopyInto(const at::Tensor& to, const std::map<std::string, at::Tensor>& from,
              const std::string& name) {
  const auto found = from.find(name);
  if (found == from.end()) {
    throw Error(ErrorCode::kBadFile, fmt::format("the checkpoint has no '{}'", name));
  }
  if (found->second.sizes() != to.sizes()) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("'{}' has shape [{}] in the checkpoint and [{}] in the model", name,
                            fmt::join(found->second.sizes(), ", "), fmt::join(to.sizes(), ", ")));
  }
  to.detach().copy_(found->second);
}

}  // namespace espalier::train
