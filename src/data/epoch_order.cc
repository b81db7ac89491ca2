#include "data/epoch_order.h"

#include <fmt/format.h>

#include <limits>
#include <numeric>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/base/random.h"

namespace espalier::internal {

std::vector<std::uint32_t> EpochOrder(std::size_t size, std::uint64_t seed, std::uint64_t epoch,
                                      bool shuffle) {
  if (size > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorCode::kUnsupported, fmt::format("{} samples; less than 2^32 can be put in "
                                                     "order",
                                                     size));
  }
  std::vector<std::uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0u);
  if (!shuffle) return order;
  const std::uint64_t key = RandomAt(SeedFor(seed, "order"), epoch);
  for (std::size_t i = size; i > 1; --i) std::swap(order[i - 1], order[RandomAt(key, i) % i]);
  return order;
}

std::size_t Substitute(std::size_t size, std::uint64_t seed, std::uint64_t epoch, std::size_t place,
                       std::size_t attempt) noexcept {
  const std::uint64_t key = RandomAt(RandomAt(SeedFor(seed, "substitute"), epoch), place);
  return RandomAt(key, attempt) % size;
}

}  // namespace espalier::internal
