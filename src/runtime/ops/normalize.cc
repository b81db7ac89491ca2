#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> NormalizeOps() { return {}; }

}  // namespace espalier::runtime
