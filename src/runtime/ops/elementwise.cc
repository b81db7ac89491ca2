#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> ElementwiseOps() { return {}; }

}  // namespace espalier::runtime
