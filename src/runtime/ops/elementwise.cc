#include <vector>

#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {

std::span<const OpEntry> ElementwiseOps() {
  static const std::vector<OpEntry> all = [] {
    std::vector<OpEntry> entries;
    for (const auto& part :
         {ArithmeticOps(), ComparisonOps(), UnaryOps(), ActivationOps(), CastOps(), SelectOps()}) {
      entries.insert(entries.end(), part.begin(), part.end());
    }
    return entries;
  }();
  return all;
}

}  // namespace espalier::runtime
