#include "espalier/kernels/spmm.h"

#include <algorithm>

#include "kernels/spmm_parts.h"

namespace espalier {
namespace {

using internal::SpmmSegment;
using internal::SpmmTile;

constexpr std::size_t kAlign = 64;
constexpr std::size_t kTileSlack = 16;         // floats that packing may write behind the last row
constexpr std::size_t kMaxPartialRows = 1024;  // 256 KiB of partial sums at 64 pixels: half of L2

std::size_t RoundUp(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

struct Scratch {
  float* tile;
  float* partial;
  SpmmSegment* segments;
};

std::size_t TileFloats(const PackedMatrix& weights) {
  return RoundUp(RoundUp(weights.k_block, 4) * weights.tile_pixels + kTileSlack, 16);
}

std::size_t PartialFloats(const PackedMatrix& weights) {
  const std::size_t rows = std::min(weights.rows, kMaxPartialRows + kMaxRowBlock);
  return RoundUp(rows, 8) * weights.tile_pixels;
}

Scratch CutScratch(const PackedMatrix& weights, void* scratch) {
  const auto address = reinterpret_cast<std::uintptr_t>(scratch);
  auto* begin = static_cast<char*>(scratch) + (RoundUp(address, kAlign) - address);
  Scratch cut = {};
  cut.tile = reinterpret_cast<float*>(begin);
  cut.partial = cut.tile + TileFloats(weights);
  cut.segments = reinterpret_cast<SpmmSegment*>(cut.partial + PartialFloats(weights));
  return cut;
}

// Appends the output rows' parts of pixels [begin, end). Returns the new number of segments.
std::size_t AddSegments(const SpmmWindow& window, std::size_t begin, std::size_t end,
                        SpmmSegment* segments, std::size_t count) {
  while (begin < end) {
    const std::size_t out_y = begin / window.out_w;
    const std::size_t out_x = begin % window.out_w;
    const std::size_t pixels = std::min(end - begin, window.out_w - out_x);
    segments[count++] = {static_cast<std::int32_t>(out_y * window.stride_h) - window.pad_top,
                         static_cast<std::int32_t>(out_x * window.stride_w) -
                             static_cast<std::int32_t>(window.pad_left),
                         static_cast<std::uint32_t>(pixels)};
    begin += pixels;
  }
  return count;
}

class Job {
 public:
  Job(const PackedMatrix& weights, const SpmmInput& input, const SpmmOutput& output,
      const SpmmRange& range, void* scratch)
      : weights_(weights),
        input_(input),
        output_(output),
        range_(range),
        scratch_(CutScratch(weights, scratch)),
        lanes_(SpmmLanes()),
        pack_(internal::ChooseSpmmPack(input.kind)),
        tokens_(internal::ChooseSpmmTokens(output.activation.kind)) {}

  // Full tiles of several strips, then what is left in tiles of one strip, as equal as whole
  // vectors allow: a narrow last tile would waste the reading of the weights.
  void Run() {
    const std::size_t most = std::max<std::size_t>(1, weights_.tile_pixels / lanes_);
    const std::size_t strips = StripsOf(most);
    const std::size_t strip = most / strips;
    const std::size_t vectors = (range_.pixel_end - range_.pixel_begin + lanes_ - 1) / lanes_;
    std::size_t done = 0;
    if (strips > 1) {
      for (; done + strips * strip <= vectors; done += strips * strip) {
        RunTile(MakeTile(range_.pixel_begin + done * lanes_, strips * strip), strips);
      }
    }
    const std::size_t tiles = (vectors - done + strip - 1) / strip;
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      const std::size_t wide = (vectors - done + tiles - tile - 1) / (tiles - tile);
      RunTile(MakeTile(range_.pixel_begin + done * lanes_, wide), 1);
      done += wide;
    }
  }

 private:
  // The fewest equal strips of a tile that fit the registers.
  std::size_t StripsOf(std::size_t vectors) const {
    const std::size_t most = internal::SpmmMaxVectors(weights_.kind);
    std::size_t strips = (vectors + most - 1) / most;
    while (strips * 2 <= vectors && vectors % strips != 0) ++strips;
    return vectors % strips == 0 ? strips : (vectors + most - 1) / most;
  }

  SpmmTile MakeTile(std::size_t pixel, std::size_t vectors) const {
    SpmmTile tile = {};
    tile.input = &input_;
    tile.pixel = pixel;
    tile.count = std::min(vectors * lanes_, range_.pixel_end - pixel);
    tile.vectors = vectors;
    tile.last_start = tile.count < lanes_ ? 0 : tile.count - lanes_;
    tile.ld = weights_.tile_pixels;
    if (input_.kind == SpmmInputKind::kWindow) {
      const std::size_t middle = pixel + (vectors - 1) * lanes_;
      tile.segment_count = AddSegments(input_.window, pixel, middle, scratch_.segments, 0);
      tile.segment_count = AddSegments(input_.window, pixel + tile.last_start, pixel + tile.count,
                                       scratch_.segments, tile.segment_count);
      tile.segments = scratch_.segments;
    }
    return tile;
  }

  // As many row blocks as share a packing of X; their partial sums must stay near.
  std::size_t GroupEnd(std::size_t begin) const {
    const bool tokens = output_.kind == SpmmOutputKind::kTokens;
    if (weights_.k_blocks == 1) return tokens ? begin + 1 : range_.block_end;
    std::size_t end = begin + 1;
    while (end < range_.block_end &&
           weights_.row_begin[end + 1] - weights_.row_begin[begin] <= kMaxPartialRows) {
      ++end;
    }
    return end;
  }

  void RunTile(const SpmmTile& tile, std::size_t strips) const {
    const auto rows =
        internal::ChooseSpmmRows(weights_.kind, weights_.value, tile.vectors / strips);
    for (std::size_t begin = range_.block_begin, end = 0; begin < range_.block_end; begin = end) {
      end = GroupEnd(begin);
      for (std::size_t k = 0; k < weights_.k_blocks; ++k) {
        if (weights_.k_blocks > 1 || begin == range_.block_begin) Pack(tile, k);
        for (std::size_t block = begin; block < end; ++block) {
          rows(MakeRows(tile, strips, block, k, weights_.row_begin[begin]));
        }
      }
      if (output_.kind == SpmmOutputKind::kTokens) StoreTokens(tile, begin, end);
    }
  }

  void Pack(const SpmmTile& tile, std::size_t k) const {
    pack_(tile, k * weights_.k_block, std::min(weights_.cols, (k + 1) * weights_.k_block),
          scratch_.tile);
  }

  internal::SpmmRows MakeRows(const SpmmTile& tile, std::size_t strips, std::size_t block,
                              std::size_t k, std::size_t group_row) const {
    const PackedBlock& packed = weights_.blocks[block * weights_.k_blocks + k];
    const std::size_t value = packed.entry_begin * ValuesPerEntry(weights_.kind);
    const std::size_t row = weights_.row_begin[block];
    const bool tokens = output_.kind == SpmmOutputKind::kTokens;
    internal::SpmmRows rows = {};
    rows.x = scratch_.tile;
    rows.x_ld = weights_.tile_pixels;
    rows.visit = weights_.visits.data() + packed.visit_begin;
    rows.visit_end = weights_.visits.data() + packed.visit_end;
    rows.values = weights_.value == PackedValue::kFloat32
                      ? static_cast<const void*>(weights_.values.data() + value)
                      : weights_.halves.data() + value;
    rows.offsets = weights_.offsets.data() + (weights_.offsets.empty() ? 0 : packed.entry_begin);
    rows.rows = weights_.row_begin[block + 1] - row;
    rows.strips = strips;
    rows.first = k == 0;
    rows.last = k + 1 == weights_.k_blocks && !tokens;
    rows.partial = scratch_.partial + (row - group_row) * weights_.tile_pixels;
    rows.count = tile.count;
    rows.last_start = tile.last_start;
    if (output_.bias != nullptr) rows.bias = output_.bias + row;
    if (rows.last) {
      rows.y = output_.y + row * output_.ld + tile.pixel;
      rows.y_ld = output_.ld;
      if (output_.residual != nullptr) {
        rows.residual = output_.residual + row * output_.residual_ld + tile.pixel;
        rows.residual_ld = output_.residual_ld;
      }
      rows.activation = output_.activation;
    }
    return rows;
  }

  void StoreTokens(const SpmmTile& tile, std::size_t begin, std::size_t end) const {
    const std::size_t row = weights_.row_begin[begin];
    internal::SpmmTokens tokens = {};
    tokens.tile = scratch_.partial;
    tokens.ld = weights_.tile_pixels;
    tokens.rows = weights_.row_begin[end] - row;
    tokens.count = tile.count;
    tokens.last_start = tile.last_start;
    tokens.vectors = tile.vectors;
    tokens.y = output_.y + tile.pixel * output_.ld + row;
    tokens.y_ld = output_.ld;
    if (output_.residual != nullptr) {
      tokens.residual = output_.residual + tile.pixel * output_.residual_ld + row;
      tokens.residual_ld = output_.residual_ld;
    }
    tokens.activation = output_.activation;
    tokens_(tokens);
  }

  const PackedMatrix& weights_;
  const SpmmInput& input_;
  const SpmmOutput& output_;
  const SpmmRange& range_;
  Scratch scratch_;
  std::size_t lanes_;
  internal::SpmmPackFn pack_;
  internal::SpmmTokensFn tokens_;
};

}  // namespace

internal::SpmmRowsFn internal::ChooseSpmmRows(PackedKind kind, PackedValue value,
                                              std::size_t vectors) noexcept {
  if (kind == PackedKind::kUnstructured || kind == PackedKind::kNm) {
    return value == PackedValue::kFloat32 ? ChooseSpmmFloatRows(vectors)
                                          : ChooseSpmmHalfRows(value, vectors);
  }
  return kind == PackedKind::kColumns4 ? ChooseSpmmColumns(value, vectors)
                                       : ChooseSpmmBlocks(kind, value, vectors);
}

std::size_t SpmmScratchBytes(const PackedMatrix& weights) noexcept {
  const std::size_t floats = TileFloats(weights) + PartialFloats(weights);
  const std::size_t segments = weights.tile_pixels + 2;  // a pixel each, where rows are one pixel
  return kAlign + floats * sizeof(float) + segments * sizeof(SpmmSegment);
}

void Spmm(const PackedMatrix& weights, const SpmmInput& input, const SpmmOutput& output,
          const SpmmRange& range, void* scratch) noexcept {
  if (range.pixel_begin >= range.pixel_end || range.block_begin >= range.block_end) return;
  Job(weights, input, output, range, scratch).Run();
}

}  // namespace espalier
