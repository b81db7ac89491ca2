#pragma once

#include <cstdint>
#include <vector>

#include "espalier/graph/coupling.h"
#include "espalier/permute/search.h"
#include "permute/consumer.h"

namespace espalier::internal {

struct GroupOrder {
  /// takes[c] = the channel whose weights move to where c's were; a permutation of all channels.
  std::vector<std::uint32_t> takes;
  double total = 0;  ///< Magnitude of all consumers.
  double kept_before = 0;
  double kept_after = 0;  ///< Never below kept_before.
  std::int64_t rounds = 0;
};

/// Finds an order of a group's channels under which its consumers keep more. Channels change places
/// within their cell, and only those whose window lies in the cell as a whole.
///
/// Of consumers with different windows (behind a Concat that shifts them) the largest decides which
/// windows are searched; those that look at the same sets of channels count in the search, the
/// others when the result is judged: an order that keeps less over all is not taken.
/// @cost  Memory: the consumers' and once more the scores of one cell.
GroupOrder SearchGroup(const CouplingGroup& group, const std::vector<Consumer>& consumers,
                       const NmGroup& nm, const PermuteOptions& options);

}  // namespace espalier::internal
