#pragma once

#include <span>
#include <vector>

#include "runtime/ops/dispatch.h"

namespace espalier::runtime {

using Offsets = std::vector<std::size_t>;

/// Each index of an int64 or int32 tensor as a number below `bound`; negative ones count from the
/// end.
/// @throws Error  kBadFile if one is outside [-bound, bound), or for another type.
void ResolveIndices(const Value& indices, std::size_t bound, Offsets* out);

/// Where in a tensor of `dims` the elements lie that `indices` name: at the index's own place but
/// for `axis`, where the index's value counts (GatherElements, ScatterElements).
/// @throws Error  kBadFile if an index is out of range, or a dimension but `axis` is larger.
void ElementOffsets(const Value& indices, const Dims& dims, std::size_t axis, Offsets* out);

/// The numbers, counted in blocks, of the blocks of a tensor of `dims` that the tuples in the last
/// dimension of `indices` name, behind `batch_dims` dimensions that both share.
/// @throws Error  kBadFile if the shapes do not fit or an index is out of range.
void TupleOffsets(const Value& indices, const Dims& dims, std::size_t batch_dims, Offsets* out);

template <typename T>
std::unique_ptr<Op> MakeOp(const OpBuild& build) {
  if constexpr (std::is_constructible_v<T, const OpBuild&>) {
    return std::make_unique<T>(build);
  } else {
    return std::make_unique<T>();
  }
}

// The parts of IndexOps().
std::span<const OpEntry> GatherOps();
std::span<const OpEntry> ScatterOps();
std::span<const OpEntry> ArgOps();  // ArgMax, ArgMin
std::span<const OpEntry> TopKOps();
std::span<const OpEntry> SelectionOps();  // Compress, NonZero, OneHot
std::span<const OpEntry> UniqueOps();
std::span<const OpEntry> CumulateOps();  // CumSum
std::span<const OpEntry> SuppressOps();  // NonMaxSuppression

}  // namespace espalier::runtime
