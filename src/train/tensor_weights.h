#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>
#include <vector>

#include "espalier/prune/weight_store.h"

namespace espalier::train {

/// Weights of a network in training, as Prune() reads them: float32 whatever their type and device.
/// What Prune() writes becomes masks; the weights themselves stay as they are.
///
/// A kept weight may itself be zero, so a mask cannot be read off the zeros of the result. Zeros
/// are therefore read as -0.0, which scores like +0.0; Prune() leaves the bits of what it keeps and
/// writes +0.0 for what it drops.
class TensorWeights final : public WeightStore {
 public:
  /// @param layers   Their views count elements of the contiguous weight.
  /// @param weights  One for each layer; may be undefined where the layer has a refusal. Read until
  ///                 the store goes; copied where they are not contiguous float32 on the CPU.
  /// @throws Error   kShapeMismatch if a weight has another number of elements than its view.
  TensorWeights(std::vector<Layer> layers, const std::vector<at::Tensor>& weights);

  const std::vector<Layer>& layers() const override { return layers_; }
  void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const override;
  void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) override;
  void BeginWrites(const std::vector<std::size_t>& layers, int threads,
                   const AdvanceFunction& advance) override;

  /// bool on the CPU, of the weight's shape; undefined if Prune() left the layer alone.
  const at::Tensor& Mask(std::size_t layer) const { return masks_[layer]; }

 private:
  std::vector<Layer> layers_;
  std::vector<at::Tensor> values_;
  std::vector<at::Tensor> masks_;
};

}  // namespace espalier::train
