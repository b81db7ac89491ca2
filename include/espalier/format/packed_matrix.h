#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace espalier {

/// Which positions of a matrix an entry of the packed stream stands for.
enum class PackedKind : std::uint8_t {
  kUnstructured,  ///< One weight.
  kNm,            ///< One weight; every row of a K block has the same number of entries.
  kRows2,         ///< 2 output channels x 1 input channel.
  kRows4,         ///< 4 output channels x 1 input channel.
  kColumns4,      ///< 1 output channel x 4 input channels.
  kDense,         ///< Strips of output channels x 1 input channel, every channel, no offsets.
};

/// How the packed weights are stored; kernels compute in float.
enum class PackedValue : std::uint8_t { kFloat32, kFloat16, kBFloat16 };

struct PackOptions {
  PackedKind kind = PackedKind::kUnstructured;
  PackedValue value = PackedValue::kFloat32;
  std::size_t tile_pixels = 64;  ///< Floats between two rows of the X tile; a multiple of 8.
  std::size_t k_block = 96;    ///< Input channels in a tile. tile_pixels * k_block * 4 bytes in L1.
  std::size_t row_blocks = 1;  ///< At least so many row blocks, of equally many entries.
  std::size_t nm_n = 2;        ///< kNm: entries kept ...
  std::size_t nm_m = 4;        ///< ... of so many input channels.
};

/// One row (or strip of 2 or 4 rows) of a block.
struct PackedVisit {
  std::uint16_t row;    ///< First row, counted from the row block's first.
  std::uint16_t count;  ///< Entries.
};

/// One row block x K block: visits [visit_begin, next block's), entries from `entry_begin` on.
struct PackedBlock {
  std::uint32_t visit_begin;
  std::uint32_t visit_end;
  std::uint64_t entry_begin;
};

/// A weight matrix [rows, cols] as the kernels of kernels/spmm.h read it: cut into K blocks (so
/// that the tile of X that a block meets stays in L1) and row blocks (so that threads can share
/// it), rows of a block sorted by their number of entries (so that branch predictors learn it).
struct PackedMatrix {
  PackedKind kind = PackedKind::kUnstructured;
  PackedValue value = PackedValue::kFloat32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t tile_pixels = 0;
  std::size_t k_block = 0;
  std::size_t k_blocks = 0;  ///< At least 1.
  std::vector<std::uint32_t>
      row_begin;                    ///< Row blocks + 1 first rows; multiples of 8 but the last.
  std::vector<PackedBlock> blocks;  ///< [row block][K block].
  std::vector<PackedVisit> visits;
  std::vector<std::uint16_t> offsets;  ///< One an entry: bytes / 8 into the X tile. kDense: none.
  std::vector<float> values;           ///< kFloat32: ValuesPerEntry() an entry.
  std::vector<std::uint16_t> halves;   ///< kFloat16 and kBFloat16: the same, as bits.
  std::uint64_t entries = 0;           ///< In the whole matrix, without the padding at the end.

  std::size_t row_blocks() const noexcept { return row_begin.empty() ? 0 : row_begin.size() - 1; }
};

/// Rows that an entry spans: 1, 2 or 4.
std::size_t RowsPerEntry(PackedKind kind) noexcept;

/// Weights in an entry: 1, 2 or 4.
std::size_t ValuesPerEntry(PackedKind kind) noexcept;

/// Most rows in a row block: the partial sums of a tile of so many rows fit L2.
inline constexpr std::size_t kMaxRowBlock = 256;

/// Packs a row-major matrix for kernels/spmm.h. Weights equal to zero are dropped where the kind
/// allows; so an infinite or NaN activation that meets only zeros does not reach the output.
///
/// @param weights  [rows, cols], row-major. Not kept.
/// @param options  `k_block` is made smaller where offsets would overflow, `tile_pixels` is rounded
///                 up to a multiple of 8.
/// @return         Same bytes for the same inputs on every machine. Halves are rounded to nearest.
/// @throws Error   kShapeMismatch if `weights` has not rows * cols elements; kInvalidArgument if
///                 an option is 0, `nm_n` above `nm_m`, or `tile_pixels` above 1024.
/// @cost           Two passes over the matrix; about 2 ns a weight.
PackedMatrix PackSparse(std::span<const float> weights, std::size_t rows, std::size_t cols,
                        const PackOptions& options = {});

/// The matrix that was packed (after rounding to the value type), row-major.
/// @cost  One pass over the entries, one allocation.
std::vector<float> UnpackSparse(const PackedMatrix& packed);

/// Bytes of the streams that a kernel reads: visits, offsets and values.
std::size_t PackedBytes(const PackedMatrix& packed) noexcept;

}  // namespace espalier
