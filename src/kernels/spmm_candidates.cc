#include "espalier/kernels/spmm_candidates.h"

#include <algorithm>

#include "kernels/spmm_parts.h"

namespace espalier {
namespace {

// The X tile; L1 has 32 KiB.
constexpr std::size_t kTileBytes[] = {16 << 10, 20 << 10, 24 << 10, 28 << 10, 32 << 10};
constexpr std::size_t kMostVectors = 20;
constexpr std::size_t kL2Bytes = 384 << 10;  // of 512 KiB: weights and partial sums pass through

// Cycles of blocks and dense strips on Zen 3 with AVX2: two multiply-adds and two loads a cycle;
// the lines' are set by hand, from single runs of a few layers.
constexpr double kPerMultiplyAdd = 0.5;
constexpr double kPerEntry = 0.4;
constexpr double kPerVisit = 5.0;
constexpr double kPerStore = 1.0;
constexpr double kPerPartial = 1.5;   // load, and the way to L2 and back
constexpr double kPerNearLine = 6.0;  // a cache line of X or Y in L2
constexpr double kPerFarLine = 20.0;  // in L3

double CeilDiv(std::size_t value, std::size_t unit) {
  return static_cast<double>((value + unit - 1) / unit);
}

double PerLine(std::size_t planes, std::size_t pixels) {
  return planes * pixels * sizeof(float) > kL2Bytes ? kPerFarLine : kPerNearLine;
}

bool IsSingle(PackedKind kind) {
  return kind == PackedKind::kUnstructured || kind == PackedKind::kNm;
}

// Of single weights. Least squares over the relative times of 96 products (32 of the layers of
// bench/layer_shapes.h at 50, 75 and 90 % zeros) with up to 30 tiles each, one Zen 3 core: the
// first choice costs 3 % more than the best tile on average, the best of four 1 %.
double SingleCycles(const SpmmShape& shape, const SpmmCandidate& candidate) {
  const auto entries = static_cast<double>(shape.entries);
  const auto rows = static_cast<double>(shape.rows);
  const auto cols = static_cast<double>(shape.cols);
  const double vectors = CeilDiv(shape.pixels, shape.lanes);
  const double tiles = CeilDiv(shape.pixels, candidate.tile_pixels);
  const double k_blocks = std::max(1.0, CeilDiv(shape.cols, candidate.k_block));
  const auto tile_bytes =
      static_cast<double>(candidate.tile_pixels * std::min(candidate.k_block, shape.cols) * 4);
  const double over = std::max(0.0, tile_bytes - 20480) / 8192;
  const double weights_far = entries * 6 > 300e3 ? 0.343 : 0;  // beyond L2
  return entries * vectors * (0.678 + 0.047 * over) + entries * tiles * (0.024 + weights_far) +
         rows * k_blocks * tiles * 4.54 + rows * vectors * (1.53 + 2.14 * (k_blocks - 1)) +
         cols * vectors * 1.67 + cols * tiles * 1.97;
}

double Cycles(const SpmmShape& shape, const SpmmCandidate& candidate) {
  if (IsSingle(shape.kind)) return SingleCycles(shape, candidate);
  const std::size_t rows_per_entry = RowsPerEntry(shape.kind);
  const double strips_of_rows = CeilDiv(shape.rows, rows_per_entry);
  const double entries = shape.kind == PackedKind::kDense
                             ? strips_of_rows * static_cast<double>(shape.cols)
                             : static_cast<double>(shape.entries);
  const double vectors = CeilDiv(shape.pixels, shape.lanes);  // tiles are balanced: no waste
  const double tiles = CeilDiv(shape.pixels, candidate.tile_pixels);
  const double k_blocks = std::max(1.0, CeilDiv(shape.cols, candidate.k_block));
  const std::size_t most = internal::SpmmMaxVectors(shape.kind);
  const double register_tiles = tiles * CeilDiv(candidate.tile_pixels / shape.lanes, most);
  const auto rows = static_cast<double>(shape.rows);
  const auto per_entry = static_cast<double>(ValuesPerEntry(shape.kind));
  const double visits = strips_of_rows * k_blocks * register_tiles;
  // A run of pixels in a plane touches one line more than it fills.
  const double run = std::min<double>(static_cast<double>(candidate.tile_pixels),
                                      static_cast<double>(shape.pixels));
  const double lines = tiles * (run * sizeof(float) / 64 + 1);
  return entries * per_entry * vectors * kPerMultiplyAdd + entries * register_tiles * kPerEntry +
         visits * kPerVisit + rows * vectors * (kPerStore + (k_blocks - 1) * kPerPartial) +
         lines * rows * PerLine(shape.rows, shape.pixels) +
         lines * static_cast<double>(shape.cols) * PerLine(shape.cols, shape.pixels);
}

// Keeps the list sorted and short.
void Insert(const SpmmCandidate& candidate, SpmmCandidates* found) {
  std::size_t at = found->count;
  for (std::size_t i = 0; i < found->count; ++i) {
    const SpmmCandidate& other = found->list[i];
    if (other.tile_pixels == candidate.tile_pixels && other.k_block == candidate.k_block) return;
    if (candidate.cycles < other.cycles) at = std::min(at, i);
  }
  if (at == found->list.size()) return;
  if (found->count < found->list.size()) ++found->count;
  std::move_backward(found->list.begin() + static_cast<std::ptrdiff_t>(at),
                     found->list.begin() + static_cast<std::ptrdiff_t>(found->count) - 1,
                     found->list.begin() + static_cast<std::ptrdiff_t>(found->count));
  found->list[at] = candidate;
}

}  // namespace

SpmmCandidates ChooseSpmmCandidates(const SpmmShape& shape) noexcept {
  SpmmCandidates found;
  const std::size_t most = internal::SpmmMaxVectors(shape.kind);
  const std::size_t cols = std::max<std::size_t>(shape.cols, 1);
  for (std::size_t vectors = 1; vectors <= kMostVectors; ++vectors) {
    const std::size_t strips = (vectors + most - 1) / most;
    if (vectors % strips != 0) continue;            // strips are equally wide
    if (strips > 1 && IsSingle(shape.kind)) break;  // their rows are quicker one strip at a time
    // A multiple of 8, as packing asks; lanes is a power of two.
    const std::size_t pixels = vectors * std::max<std::size_t>(shape.lanes, 8);
    const bool whole = vectors > 1 && pixels >= shape.pixels + 8 * shape.lanes;
    if (whole) break;
    for (const std::size_t bytes : kTileBytes) {
      const std::size_t fits = std::max<std::size_t>(4, bytes / (pixels * sizeof(float)));
      const std::size_t blocks = (cols + fits - 1) / fits;
      SpmmCandidate candidate;
      candidate.tile_pixels = pixels;
      candidate.k_block = ((cols + blocks - 1) / blocks + 3) / 4 * 4;  // equal blocks
      candidate.cycles = Cycles(shape, candidate);
      Insert(candidate, &found);
    }
  }
  return found;
}

}  // namespace espalier
