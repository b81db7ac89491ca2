#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> PoolOps() { return {}; }

}  // namespace espalier::runtime
