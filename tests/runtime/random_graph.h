#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/runtime/plain_run.h"

namespace espalier::testing {

/// Where a random graph's decisions come from: bytes of a fuzzer, then a sequence by seed.
class Choices {
 public:
  explicit Choices(std::uint64_t seed, std::span<const std::uint8_t> bytes = {})
      : seed_(seed), bytes_(bytes) {}

  /// One of 0 .. count - 1.
  int Of(int count) {
    const std::uint64_t value = at_ < bytes_.size() ? bytes_[at_] : RandomAt(seed_, at_) >> 32;
    ++at_;
    return static_cast<int>(value % static_cast<std::uint64_t>(count));
  }
  bool Coin() { return Of(2) == 1; }
  bool More() const { return at_ < bytes_.size(); }

 private:
  std::uint64_t seed_;
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

struct RandomGraph {
  Graph graph;
  std::vector<Tensors> inputs;  ///< For runs one after the other; the batch may differ.
};

/// A small network that runs: convolutions, products, joins, pieces, views, sums, pooling and
/// activations, with shared values, zeros in the weights, and inner values among the outputs.
RandomGraph MakeRandomGraph(Choices& choices);

}  // namespace espalier::testing
