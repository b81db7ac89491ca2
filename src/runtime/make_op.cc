#include "runtime/make_op.h"

#include <fmt/format.h>

#include "runtime/control.h"
#include "runtime/conv_op.h"

namespace espalier::runtime {

std::unique_ptr<Op> MakeOp(const OpBuild& build, const Environment& environment) {
  const Node& node = build.node();
  if (!node.subgraphs.empty()) return MakeControl(build, environment);
  if (auto conv = MakePackedConv(build, environment)) return conv;
  if (auto linear = MakePackedLinear(build, environment)) return linear;
  if (const OpEntry* entry = FindOp(node)) return entry->make(build);
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the operator {}{}{} is not supported", node.domain,
                          node.domain.empty() ? "" : ".", node.op_type));
}

}  // namespace espalier::runtime
