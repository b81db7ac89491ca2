#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> ResizeOps() { return {}; }

}  // namespace espalier::runtime
