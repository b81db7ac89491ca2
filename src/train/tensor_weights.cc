#include "train/tensor_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "espalier/base/error.h"

namespace espalier::train {
namespace {

constexpr std::uint32_t kMinusZero = 0x80000000u;

void CheckSize(const Layer& layer, const at::Tensor& weight) {
  const std::int64_t wanted = layer.view.Elements();
  const std::int64_t found = weight.defined() ? weight.numel() : 0;
  if (wanted == found) return;
  throw Error(ErrorCode::kShapeMismatch,
              fmt::format("layer '{}' is a view of {} weights, its tensor has {}", layer.name,
                          wanted, found));
}

}  // namespace

TensorWeights::TensorWeights(std::vector<Layer> layers, const std::vector<at::Tensor>& weights)
    : layers_(std::move(layers)), values_(layers_.size()), masks_(layers_.size()) {
  ESPALIER_CHECK(layers_.size() == weights.size());
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (!layers_[i].refusal.empty()) continue;
    CheckSize(layers_[i], weights[i]);
    layers_[i].dtype = DType::kFloat32;
    values_[i] = weights[i].detach().to(at::kCPU, at::kFloat).contiguous();
  }
}

void TensorWeights::Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const {
  const float* from = values_[layer].data_ptr<float>() + first;
  const std::size_t count = out.size() / sizeof(float);
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = from[i] == 0.0f ? kMinusZero : std::bit_cast<std::uint32_t>(from[i]);
    std::memcpy(out.data() + i * sizeof(bits), &bits, sizeof(bits));
  }
}

void TensorWeights::BeginWrites(const std::vector<std::size_t>& layers, int,
                                const AdvanceFunction&) {
  for (const std::size_t i : layers) {
    masks_[i] = at::empty(values_[i].sizes(), at::TensorOptions().dtype(at::kBool));
  }
}

void TensorWeights::Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) {
  bool* keep = masks_[layer].data_ptr<bool>() + first;
  for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, bytes.data() + i * sizeof(bits), sizeof(bits));
    keep[i] = bits != 0;
  }
}

}  // namespace espalier::train
