#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> MoveOps() { return {}; }

}  // namespace espalier::runtime
