#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace espalier::internal {

/// Indices 0 .. size - 1 in the order of an epoch; each order is equally likely, to 2^-32.
/// @throws Error  kUnsupported for 2^32 samples or more.
std::vector<std::uint32_t> EpochOrder(std::size_t size, std::uint64_t seed, std::uint64_t epoch,
                                      bool shuffle);

/// A sample to take in place of one that cannot be read, the `attempt`-th for this place in the
/// epoch's order.
std::size_t Substitute(std::size_t size, std::uint64_t seed, std::uint64_t epoch, std::size_t place,
                       std::size_t attempt) noexcept;

}  // namespace espalier::internal
