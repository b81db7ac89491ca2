#pragma once

#include <cstddef>

#include "espalier/kernels/depthwise.h"

namespace espalier {

// Input rows are copied to a scratch in L1 before use: there they are aligned, have their zero
// padding, and for stride s are split into s phases (row element s * i + p is element i of phase
// p), so that each kernel column reads its inputs for neighbouring outputs as one vector.
inline constexpr std::size_t kDepthwiseScratch = 4096;  // floats
inline constexpr std::size_t kDepthwiseMaxLanes = 16;
inline constexpr std::size_t kDepthwiseMaxKernelWidth = 16;

// Output columns [begin, begin + width) and how the inputs that they read lie in the scratch.
struct DepthwiseBlock {
  std::size_t begin = 0;
  std::size_t width = 0;
  std::size_t first = 0;         // the first input column that is copied,
  std::size_t count = 0;         // and how many are
  std::size_t phase_stride = 0;  // floats, a multiple of the lanes
  std::size_t row_stride = 0;    // stride_w phases
  std::size_t margin = 0;        // zeros before the first row, a multiple of the lanes
  // Where output `begin` finds its input for a kernel column, from the start of the row. Negative
  // in the left padding, which is the end of the row (or phase) before.
  std::ptrdiff_t offset[kDepthwiseMaxKernelWidth] = {};
};

struct DepthwiseLayout {
  std::size_t width = 0;  // output columns of a block; 0: the kernel is too large for the scratch
  std::size_t rows = 0;   // output rows of a stripe
  std::size_t input_rows = 0;  // that those read, padding included
  std::size_t planes = 0;      // copied at once, to write well ahead of reading; 1 if in stripes
};

DepthwiseBlock MakeDepthwiseBlock(const DepthwiseShape& shape, std::size_t begin, std::size_t width,
                                  std::size_t lanes) noexcept;

DepthwiseLayout MakeDepthwiseLayout(const DepthwiseShape& shape, std::size_t rows,
                                    std::size_t lanes) noexcept;

}  // namespace espalier
