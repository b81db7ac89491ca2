#include <algorithm>
#include <cmath>

#include "espalier/kernels/transposable_mask.h"
#include "espalier/pattern/transposable_masks.h"

namespace espalier {
namespace {

// Bits kept of the tile whose corner is at (row, col) of `values`; what sticks out scores zero.
std::uint16_t BestKept(const float* values, std::size_t rows, std::size_t cols, std::size_t stride,
                       std::size_t row, std::size_t col) {
  float scores[16] = {};
  for (std::size_t r = row; r < std::min(rows, row + 4); ++r) {
    for (std::size_t c = col; c < std::min(cols, col + 4); ++c) {
      scores[4 * (r - row) + (c - col)] = std::fabs(values[r * stride + c]);
    }
  }
  return BestTransposableMask(scores);
}

// Calls visit(index, kept) for each element of the matrix.
template <typename Visit>
void ForEachElement(const float* values, std::size_t rows, std::size_t cols, std::size_t stride,
                    Visit visit) {
  for (std::size_t row = 0; row < rows; row += 4) {
    for (std::size_t col = 0; col < cols; col += 4) {
      const std::uint16_t kept = BestKept(values, rows, cols, stride, row, col);
      for (std::size_t r = row; r < std::min(rows, row + 4); ++r) {
        for (std::size_t c = col; c < std::min(cols, col + 4); ++c) {
          visit(r * stride + c, ((kept >> (4 * (r - row) + (c - col))) & 1) != 0);
        }
      }
    }
  }
}

}  // namespace

void MaskTransposable24Reference(const float* scores, std::size_t rows, std::size_t cols,
                                 std::size_t row_stride, std::uint8_t* keep) noexcept {
  ForEachElement(scores, rows, cols, row_stride,
                 [keep](std::size_t i, bool kept) { keep[i] = kept ? 1 : 0; });
}

void PruneTransposable24Reference(float* values, std::size_t rows, std::size_t cols) noexcept {
  ForEachElement(values, rows, cols, cols, [values](std::size_t i, bool kept) {
    if (!kept) values[i] = 0.0f;
  });
}

}  // namespace espalier
