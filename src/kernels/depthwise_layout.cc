#include "kernels/depthwise_layout.h"

#include <algorithm>
#include <cstdint>

namespace espalier {
namespace {

constexpr std::size_t kRowsAtOnce = 8;  // what the tiles of depthwise.cc like
constexpr std::size_t kNarrowest = 64;  // columns; narrower blocks copy their borders too often

std::size_t RoundUp(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

std::int64_t FloorDiv(std::int64_t n, std::int64_t by) {
  return n >= 0 ? n / by : -((-n + by - 1) / by);
}

// Of any block of this width: at most the inputs of one output row, padding included, in whole
// phases whose zeros on both sides may differ by one.
DepthwiseBlock LargestBlock(const DepthwiseShape& shape, std::size_t width, std::size_t lanes) {
  if (width == shape.out_w) return MakeDepthwiseBlock(shape, 0, width, lanes);
  DepthwiseBlock block;
  const std::size_t stride = shape.stride_w;
  const std::size_t reach =
      (width - 1) * stride + std::size_t{shape.kernel_w - 1} * shape.dilation_w + 1;
  block.phase_stride = RoundUp(reach / stride + 3, lanes);
  block.row_stride = block.phase_stride * stride;
  block.margin = RoundUp(shape.pad_left / stride + 1, lanes);
  return block;
}

// Input rows that fit behind the margin, with room for one vector that reads past the end.
std::size_t InputRowsThatFit(const DepthwiseBlock& block) {
  const std::size_t rest = kDepthwiseScratch - kDepthwiseMaxLanes;
  return block.margin > rest ? 0 : (rest - block.margin) / block.row_stride;
}

// Output rows that `input_rows` suffice for.
std::size_t OutputRows(const DepthwiseShape& shape, std::size_t input_rows) {
  const std::size_t reach = std::size_t{shape.kernel_h - 1} * shape.dilation_h + 1;
  return input_rows < reach ? 0 : (input_rows - reach) / shape.stride_h + 1;
}

}  // namespace

DepthwiseRows DepthwiseInputRows(const DepthwiseShape& shape, std::size_t row_begin,
                                 std::size_t row_end) noexcept {
  if (row_begin >= row_end) return {};
  const std::int64_t in_h = shape.in_h, pad = shape.pad_top, stride = shape.stride_h;
  const std::int64_t reach = (std::int64_t{shape.kernel_h} - 1) * shape.dilation_h + 1;
  const std::int64_t begin = static_cast<std::int64_t>(row_begin) * stride - pad;
  const std::int64_t end = static_cast<std::int64_t>(row_end - 1) * stride - pad + reach;
  if (begin >= in_h || end <= 0) return {};
  return {static_cast<std::size_t>(std::max<std::int64_t>(begin, 0)),
          static_cast<std::size_t>(std::min(end, in_h))};
}

DepthwiseBlock MakeDepthwiseBlock(const DepthwiseShape& shape, std::size_t begin, std::size_t width,
                                  std::size_t lanes) noexcept {
  const auto stride = static_cast<std::int64_t>(shape.stride_w);
  const std::int64_t in_w = shape.in_w, dilation = shape.dilation_w;
  const std::int64_t origin = static_cast<std::int64_t>(begin) * stride - shape.pad_left;
  const std::int64_t end = origin + static_cast<std::int64_t>(width - 1) * stride +
                           (std::int64_t{shape.kernel_w} - 1) * dilation + 1;
  const std::int64_t first = std::max<std::int64_t>(origin, 0);
  const std::int64_t count = std::max<std::int64_t>(std::min(end, in_w) - first, 0);
  // In elements of a phase: zeros before the first one, and from the shortest phase's end on.
  const std::int64_t left = -FloorDiv(origin - first, stride);
  const std::int64_t right =
      std::max<std::int64_t>(FloorDiv(end - 1 - first, stride) + 1 - count / stride, 0);
  DepthwiseBlock block;
  block.begin = begin;
  block.width = width;
  block.first = static_cast<std::size_t>(first);
  block.count = static_cast<std::size_t>(count);
  block.phase_stride = RoundUp(
      static_cast<std::size_t>((count + stride - 1) / stride + std::max(left, right)), lanes);
  block.row_stride = block.phase_stride * shape.stride_w;
  block.margin = RoundUp(static_cast<std::size_t>(left), lanes);
  for (std::int64_t kx = 0; kx < shape.kernel_w; ++kx) {
    if (static_cast<std::size_t>(kx) == kDepthwiseMaxKernelWidth) break;
    const std::int64_t col = origin + kx * dilation - first;
    const std::int64_t element = FloorDiv(col, stride);
    block.offset[kx] = static_cast<std::ptrdiff_t>(
        element + (col - element * stride) * static_cast<std::int64_t>(block.phase_stride));
  }
  return block;
}

DepthwiseLayout MakeDepthwiseLayout(const DepthwiseShape& shape, std::size_t rows,
                                    std::size_t lanes) noexcept {
  DepthwiseLayout layout;
  if (shape.kernel_w > kDepthwiseMaxKernelWidth) return layout;
  for (std::size_t width = shape.out_w;; width = RoundUp((width + 1) / 2, lanes)) {
    const std::size_t fit = InputRowsThatFit(LargestBlock(shape, width, lanes));
    const std::size_t out_rows = OutputRows(shape, fit);
    if (out_rows < std::min(rows, kRowsAtOnce) && width > kNarrowest) continue;
    if (out_rows == 0) return layout;
    layout.width = width;
    layout.rows = out_rows >= rows ? rows : out_rows > kRowsAtOnce ? out_rows / 8 * 8 : out_rows;
    layout.input_rows =
        (layout.rows - 1) * shape.stride_h + std::size_t{shape.kernel_h - 1} * shape.dilation_h + 1;
    layout.planes = layout.rows == rows && width == shape.out_w ? fit / layout.input_rows : 1;
    return layout;
  }
}

}  // namespace espalier
