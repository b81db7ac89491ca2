#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "espalier/data/dataset.h"

namespace espalier::internal {

/// Reads samples and keeps them until a limit of bytes is reached. Nothing is ever evicted: an
/// epoch asks for each sample once, so that any order of eviction would miss as often.
class SampleCache {
 public:
  SampleCache(const Dataset& data, std::uint64_t most_bytes);

  /// Safe from several threads.
  /// @throws Error  as Dataset::Read().
  std::shared_ptr<const Sample> Read(std::size_t index);

 private:
  const Dataset& data_;
  const std::uint64_t most_bytes_;
  std::mutex mutex_;
  std::uint64_t bytes_ = 0;
  std::vector<std::shared_ptr<const Sample>> kept_;  // empty without a limit of bytes
};

}  // namespace espalier::internal
