#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> ControlOps() { return {}; }

}  // namespace espalier::runtime
