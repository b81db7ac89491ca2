#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> IndexOps() { return {}; }

}  // namespace espalier::runtime
