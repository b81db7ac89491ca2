#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "permute/aligned.h"

namespace espalier::internal {

/// Places between two rows of gains: n, rounded up for vectors.
std::size_t AssignmentStride(std::size_t n) noexcept;

/// Puts n items into n places so that the sum of gains is largest. Keeps its memory.
/// @source  Jonker and Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse
///          Linear Assignment Problems", Computing 38, 1987.
class Assignment {
 public:
  /// @param gains  [item][AssignmentStride(n)], 64-byte aligned, each within +-2^28; what lies
  ///               between the rows is not used.
  /// @return       The item of each place; borrowed until the next call. Of equal sums always the
  ///               same one.
  /// @cost         O(n^3), on matrices of this search about O(n^2).
  std::span<const std::uint32_t> Solve(const std::int32_t* gains, std::size_t n);

 private:
  const std::int32_t* Row(std::uint32_t item) const { return gains_ + item * stride_; }
  void ReduceColumns();
  void ReduceRows();
  void Augment(std::uint32_t item);

  const std::int32_t* gains_ = nullptr;
  std::size_t n_ = 0;
  std::size_t stride_ = 0;
  AlignedArray<std::int32_t> price_;  // of a place
  AlignedArray<std::int32_t> distance_;
  AlignedArray<std::int32_t> open_;  // distance of places not reached yet
  AlignedArray<std::uint32_t> from_;
  std::vector<std::uint32_t> item_of_;  // by place
  std::vector<std::uint32_t> place_of_;
  std::vector<std::uint32_t> reached_;
  std::vector<std::uint32_t> waiting_;  // items without a place
};

}  // namespace espalier::internal
