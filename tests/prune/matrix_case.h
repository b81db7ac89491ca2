#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "espalier/prune/weight_store.h"

namespace espalier {

inline std::vector<std::byte> BytesOf(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::vector<float> FloatsOf(const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

inline std::vector<float> NormalValues(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Several float32 weights with layers of their own, in memory: a small network for global scopes.
class MemoryWeights final : public WeightStore {
 public:
  void Add(Layer layer, std::vector<std::byte> bytes) {
    layers_.push_back(std::move(layer));
    bytes_.push_back(std::move(bytes));
  }
  void Add(const std::string& name, const Dims& shape, const std::vector<float>& values) {
    Add(LayerOfTensor(name, DType::kFloat32, shape), BytesOf(values));
  }

  const std::vector<Layer>& layers() const override { return layers_; }
  void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const override {
    std::memcpy(out.data(), At(layer, first), out.size());
  }
  void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) override {
    std::memcpy(const_cast<std::byte*>(At(layer, first)), bytes.data(), bytes.size());
  }

  std::vector<float> Values(std::size_t layer) const { return FloatsOf(bytes_[layer]); }
  const std::vector<std::byte>& Bytes(std::size_t layer) const { return bytes_[layer]; }

 private:
  const std::byte* At(std::size_t layer, std::int64_t first) const {
    return bytes_[layer].data() + first * DTypeBits(layers_[layer].dtype) / 8;
  }

  std::vector<Layer> layers_;
  std::vector<std::vector<std::byte>> bytes_;
};

}  // namespace espalier
