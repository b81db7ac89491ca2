#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "espalier/io/atomic_file.h"
#include "espalier/io/safetensors.h"
#include "espalier/prune/weight_store.h"

namespace espalier {

/// The weights of a safetensors file, or of all files of a "*.index.json". Tensors stay on disk:
/// memory does not grow with the checkpoint. Headers, metadata and whatever is not pruned come out
/// byte for byte.
class CheckpointWeights final : public WeightStore {
 public:
  /// @param path  A .safetensors file or an index.
  /// @throws Error  kBadFile as ReadSafetensorsHeader and ReadSafetensorsIndex; also if the index
  ///                names a tensor that its file does not have.
  explicit CheckpointWeights(const std::filesystem::path& path);
  ~CheckpointWeights() override;

  /// Prepares the output: a file if the input is one, else a folder that receives files of the same
  /// names, the index, and the small files beside it (configuration, tokenizer).
  /// @throws Error  kInvalidArgument if an output exists and `overwrite` is kNo; kWriteFailed.
  void OpenOutput(const std::filesystem::path& path, Overwrite overwrite);

  /// Gives all outputs their names; the index comes last.
  /// @throws Error  kWriteFailed.
  void Commit();

  const std::vector<Layer>& layers() const override { return layers_; }
  std::int64_t OtherParameters() const override { return other_parameters_; }
  void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const override;

  /// Writes to the output; what Read returns does not change.
  void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) override;
  void BeginWrites(const std::vector<std::size_t>& layers, int threads,
                   const AdvanceFunction& advance) override;
  std::uint64_t BytesToCopy(const std::vector<std::size_t>& layers) const override;

 private:
  struct Shard;
  struct Place {  // of a layer's bytes
    std::size_t shard;
    std::uint64_t begin, end;
  };

  void AddShard(const std::filesystem::path& path, const SafetensorsIndex* index);
  void OpenSideFiles(const std::filesystem::path& folder, Overwrite overwrite);

  std::filesystem::path index_path_;  // empty for a single file
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Layer> layers_;
  std::vector<Place> places_;
  std::int64_t other_parameters_ = 0;
  std::vector<AtomicFile> side_files_;
};

/// The layer that a checkpoint's tensor is taken for, from its name, type and shape.
///
/// Two dimensions are [output, input], three to five are a convolution [K, C, R...], as PyTorch
/// stores them; `*weight_ih_l*` and `*weight_hh_l*` are recurrent. Embeddings, output heads,
/// GPT-2's transposed projections and tensors not named like a weight get a caution; integer types,
/// whose zero point is not known, and three-dimensional expert tensors a refusal.
/// @return  Nothing for tensors of fewer than two dimensions (biases, norms).
std::optional<Layer> LayerOfCheckpointTensor(const SafetensorsEntry& entry);

}  // namespace espalier
