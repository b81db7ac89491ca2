#include "runtime/op.h"

namespace espalier::runtime {

std::span<const OpEntry> MatrixOps() { return {}; }

}  // namespace espalier::runtime
