#include "runtime/ops/reduce_loops.h"

namespace espalier::runtime {

void ReducePlan::Plan(const Dims& dims, const std::vector<char>& reduced) {
  kept_.clear();
  reduced_.clear();
  outputs_ = 1;
  terms_ = 1;
  std::size_t stride = 1;
  int last = -1;  // what the level inside is: 1 reduced, 0 kept
  for (std::size_t d = dims.size(); d-- > 0;) {
    const auto size = static_cast<std::size_t>(dims[d]);
    const bool is_reduced = reduced[d] != 0;
    (is_reduced ? terms_ : outputs_) *= size;
    if (size == 1) continue;
    std::vector<Loop>& loops = is_reduced ? reduced_ : kept_;
    if (last == static_cast<int>(is_reduced)) {
      loops.back().size *= size;
    } else {
      if (last == -1) rows_ = is_reduced;
      loops.push_back({size, stride});
    }
    last = static_cast<int>(is_reduced);
    stride *= size;
  }
  if (last == -1) rows_ = false;
  if (std::max(kept_.size(), reduced_.size()) > kMaxLoops) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("a reduction of {} in over {} loops", DimsText(dims), kMaxLoops));
  }
}

}  // namespace espalier::runtime
