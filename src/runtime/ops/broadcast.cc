#include "runtime/ops/broadcast.h"

#include <algorithm>

namespace espalier::runtime {

void Broadcast::Plan(std::span<const Dims* const> operands) {
  std::size_t rank = 0;
  for (const Dims* dims : operands) rank = std::max(rank, dims->size());
  dims_.assign(rank, 1);
  for (const Dims* dims : operands) {
    for (std::size_t i = 0; i < dims->size(); ++i) {
      const std::int64_t size = (*dims)[i];
      std::int64_t& result = dims_[rank - dims->size() + i];
      if (size == 1 || size == result) continue;
      if (result != 1) {
        throw Error(ErrorCode::kBadFile, fmt::format("sizes {} and {} meet in axis {} of {}",
                                                     result, size, rank - dims->size() + i, rank));
      }
      result = size;
    }
  }
  count_ = static_cast<std::size_t>(ElementCount(dims_));

  depth_ = 0;
  Offsets strides;
  strides.fill(1);
  for (std::size_t back = 0; back < rank; ++back) {
    Loop next;
    next.size = static_cast<std::size_t>(dims_[rank - 1 - back]);
    for (std::size_t k = 0; k < operands.size(); ++k) {
      const Dims& dims = *operands[k];
      if (back >= dims.size()) continue;
      const auto size = static_cast<std::size_t>(dims[dims.size() - 1 - back]);
      if (size != 1) next.steps[k] = strides[k];
      strides[k] *= size;
    }
    if (next.size == 1) continue;
    bool merges = depth_ > 0;
    for (std::size_t k = 0; merges && k < operands.size(); ++k) {
      merges = next.steps[k] == loops_[depth_ - 1].steps[k] * loops_[depth_ - 1].size;
    }
    if (merges) {
      loops_[depth_ - 1].size *= next.size;
      continue;
    }
    if (depth_ == kMaxLoops) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("broadcasting with over {} runs of axes", kMaxLoops));
    }
    loops_[depth_++] = next;
  }
  if (depth_ == 0) {
    loops_[0] = Loop();
    depth_ = 1;
  }
}

}  // namespace espalier::runtime
