#include "espalier/prune/pth_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/prune/checkpoint.h"

namespace espalier {
namespace {

// Whose bytes are where: finds tensors that share elements.
class Owners {
 public:
  /// The tensor that has bytes of this one, or nothing; this one is remembered then.
  std::optional<std::string> Claim(const PthEntry& entry) {
    if (entry.begin == entry.end) return std::nullopt;
    const auto next = ends_.upper_bound(entry.begin);  // the first that ends behind our beginning
    if (next != ends_.end() && next->second.first < entry.end) return next->second.second;
    ends_.emplace(entry.end, std::pair(entry.begin, entry.name));
    return std::nullopt;
  }

 private:
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> ends_;  // end -> begin and name
};

std::optional<Layer> LayerOf(const PthEntry& entry) {
  SafetensorsEntry same;
  same.name = entry.name;
  same.dtype = entry.dtype;
  same.dtype_name = DTypeName(entry.dtype);
  same.shape = entry.shape;
  return LayerOfCheckpointTensor(same);
}

}  // namespace

PthWeights::PthWeights(const std::filesystem::path& path) : input_(path) {
  Owners owners;
  for (PthEntry& entry : StateDictOf(ReadPthHeader(input_))) {
    const std::optional<std::string> owner = owners.Claim(entry);
    std::optional<Layer> layer = LayerOf(entry);
    if (!layer) {
      if (!owner && IsFloatDType(entry.dtype)) other_parameters_ += ElementCount(entry.shape);
      continue;
    }
    if (owner && layer->refusal.empty()) {
      layer->refusal = fmt::format("it shares elements with {}", *owner);
    }
    layers_.push_back(std::move(*layer));
    values_.push_back(ReadPthTensor(input_, entry));
    entries_.push_back(std::move(entry));
  }
}

void PthWeights::OpenOutput(const std::filesystem::path& path, Overwrite overwrite) {
  output_.emplace(path, overwrite, input_.size());
}

void PthWeights::Commit() {
  std::vector<PthChange> changes;
  for (const std::size_t layer : changed_) changes.push_back({entries_[layer], values_[layer]});
  RewritePth(input_, *output_, changes);
  output_->Commit();
}

void PthWeights::Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const {
  const std::size_t offset = static_cast<std::size_t>(first) * DTypeBits(layers_[layer].dtype) / 8;
  std::ranges::copy(std::span(values_[layer]).subspan(offset, out.size()), out.begin());
}

void PthWeights::Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) {
  const std::size_t offset = static_cast<std::size_t>(first) * DTypeBits(layers_[layer].dtype) / 8;
  std::ranges::copy(bytes, values_[layer].begin() + static_cast<std::ptrdiff_t>(offset));
}

void PthWeights::BeginWrites(const std::vector<std::size_t>& layers, int, const AdvanceFunction&) {
  changed_.insert(changed_.end(), layers.begin(), layers.end());
}

}  // namespace espalier
