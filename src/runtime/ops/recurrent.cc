#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> RecurrentOps() { return {}; }

}  // namespace espalier::runtime
