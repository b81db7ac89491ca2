#include "espalier/kernels/spmm_candidates.h"

#include <algorithm>

#include "kernels/spmm_parts.h"

namespace espalier {
namespace {

constexpr std::size_t kTileBytes[] = {16 << 10, 22 << 10, 28 << 10};  // X tile; L1 has 32 KiB
constexpr std::size_t kMostVectors = 20;
constexpr std::size_t kL2Bytes = 384 << 10;  // of 512 KiB: weights and partial sums pass through

// Cycles, Zen 3, AVX2. Two multiply-adds and two loads a cycle; the loads of weights and offsets
// and the permutation of the weights take 0.4 an entry.
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

double Cycles(const SpmmShape& shape, const SpmmCandidate& candidate) {
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
    if (vectors % strips != 0) continue;  // strips are equally wide
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
