#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <vector>

#include "espalier/io/atomic_file.h"
#include "espalier/io/pth.h"
#include "espalier/prune/weight_store.h"

namespace espalier {

/// The weights of a PyTorch file's state dict. All else in the file, as an optimizer's state, comes
/// out byte for byte. A tensor that shares elements with one before it is a layer with a refusal.
class PthWeights final : public WeightStore {
 public:
  /// @throws Error  as ReadPthHeader() and StateDictOf(); kBadFile if a tensor is damaged.
  /// @cost   Memory: all tensors of two dimensions and more.
  explicit PthWeights(const std::filesystem::path& path);

  /// Prepares the output.
  /// @throws Error  as AtomicFile.
  void OpenOutput(const std::filesystem::path& path, Overwrite overwrite);

  /// Writes the output and gives it its name.
  /// @throws Error  kWriteFailed; kBadFile if the input became shorter.
  void Commit();

  const std::vector<Layer>& layers() const override { return layers_; }
  std::int64_t OtherParameters() const override { return other_parameters_; }
  void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const override;
  void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) override;
  void BeginWrites(const std::vector<std::size_t>& layers, int threads,
                   const AdvanceFunction& advance) override;

 private:
  InputFile input_;
  std::optional<AtomicFile> output_;
  std::vector<Layer> layers_;
  std::vector<PthEntry> entries_;               // by layer
  std::vector<std::vector<std::byte>> values_;  // by layer, row-major
  std::vector<std::size_t> changed_;            // layers
  std::int64_t other_parameters_ = 0;
};

}  // namespace espalier
