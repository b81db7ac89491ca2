#include "data/sample_cache.h"

namespace espalier::internal {
namespace {

std::uint64_t BytesOf(const Sample& sample) {
  return sizeof(Sample) + sample.name.capacity() + sample.image.pixels.capacity() +
         sample.tensor.bytes.capacity() + sample.tensor.shape.capacity() * sizeof(std::int64_t);
}

}  // namespace

SampleCache::SampleCache(const Dataset& data, std::uint64_t most_bytes)
    : data_(data), most_bytes_(most_bytes), kept_(most_bytes > 0 ? data.size() : 0) {}

std::shared_ptr<const Sample> SampleCache::Read(std::size_t index) {
  if (most_bytes_ == 0) return std::make_shared<const Sample>(data_.Read(index));
  {
    const std::lock_guard lock(mutex_);
    if (kept_[index] != nullptr) return kept_[index];
  }
  auto sample = std::make_shared<const Sample>(data_.Read(index));
  const std::uint64_t bytes = BytesOf(*sample);
  const std::lock_guard lock(mutex_);
  if (kept_[index] == nullptr && bytes <= most_bytes_ - bytes_) {
    bytes_ += bytes;
    kept_[index] = sample;
  }
  return sample;
}

}  // namespace espalier::internal
