#include "espalier/base/dtype.h"
#include "espalier/format/packed_matrix.h"

namespace espalier {
namespace {

float ValueAt(const PackedMatrix& packed, std::size_t index) {
  switch (packed.value) {
    case PackedValue::kFloat16:
      return HalfToFloat(packed.halves[index]);
    case PackedValue::kBFloat16:
      return BFloat16ToFloat(packed.halves[index]);
    default:
      return packed.values[index];
  }
}

// Writes one entry; what it holds for rows and columns behind the matrix is padding.
void UnpackEntry(const PackedMatrix& packed, std::size_t entry, std::size_t row, std::size_t col,
                 std::vector<float>& dense) {
  const bool along_row = packed.kind == PackedKind::kColumns4;
  const std::size_t count = ValuesPerEntry(packed.kind);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t r = along_row ? row : row + i;
    const std::size_t c = along_row ? col + i : col;
    if (r >= packed.rows || c >= packed.cols) continue;
    dense[r * packed.cols + c] = ValueAt(packed, entry * count + i);
  }
}

}  // namespace

std::vector<float> UnpackSparse(const PackedMatrix& packed) {
  std::vector<float> dense(packed.rows * packed.cols);
  for (std::size_t b = 0; b < packed.blocks.size(); ++b) {
    const PackedBlock& block = packed.blocks[b];
    const std::size_t first_row = packed.row_begin[b / packed.k_blocks];
    const std::size_t first_col = b % packed.k_blocks * packed.k_block;
    std::size_t entry = block.entry_begin;
    for (std::size_t v = block.visit_begin; v < block.visit_end; ++v) {
      const PackedVisit& visit = packed.visits[v];
      for (std::size_t i = 0; i < visit.count; ++i, ++entry) {
        const std::size_t tile_row =
            packed.kind == PackedKind::kDense ? i : packed.offsets[entry] * 2 / packed.tile_pixels;
        UnpackEntry(packed, entry, first_row + visit.row, first_col + tile_row, dense);
      }
    }
  }
  return dense;
}

}  // namespace espalier
