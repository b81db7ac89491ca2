#pragma once

#include <array>
#include <cstddef>

#include "runtime/value.h"

namespace espalier::runtime {

/// Copies elements from nested loops over one buffer to nested loops over another: what Transpose,
/// Expand, Tile, Slice and the like come down to.
class StridedCopy {
 public:
  static constexpr std::size_t kMaxLoops = 16;

  /// Starts anew, for elements of 1, 2, 4, 8 or 16 bytes.
  void Reset(std::size_t element_bytes);

  /// The next loop inwards, over `size` elements; steps count elements and may be negative or 0.
  /// Loops that run as one are merged.
  /// @throws Error  kUnsupported if over kMaxLoops are left.
  void Add(std::int64_t size, std::int64_t from_step, std::int64_t to_step);

  /// `from` and `to` are the elements at which all loops start.
  void Run(int threads, const std::byte* from, std::byte* to);

 private:
  struct Loop {
    std::int64_t size = 1;
    std::ptrdiff_t from_step = 0;  // bytes
    std::ptrdiff_t to_step = 0;
  };

  void Finish();
  void RunPart(std::int64_t outer_begin, std::int64_t outer_end, const std::byte* from,
               std::byte* to) const;
  template <typename T>
  void RunLoops(const std::array<Loop, kMaxLoops>& loops, const std::byte* from,
                std::byte* to) const;

  std::size_t element_bytes_ = 1;
  std::array<Loop, kMaxLoops> loops_{};  // outermost first
  std::size_t depth_ = 0;
  bool empty_ = false;
  bool crossed_ = false;  // the last two loops transpose
};

}  // namespace espalier::runtime
