#include "runtime/ops/move.h"

#include <vector>

namespace espalier::runtime {

std::span<const OpEntry> MoveOps() {
  static const std::vector<OpEntry> all = [] {
    std::vector<OpEntry> entries;
    for (const auto& part : {ReshapeOps(), JoinOps(), PermuteOps(), PadOps(), FillOps()}) {
      entries.insert(entries.end(), part.begin(), part.end());
    }
    return entries;
  }();
  return all;
}

}  // namespace espalier::runtime
