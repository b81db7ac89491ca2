#include <algorithm>
#include <array>

#include "espalier/pattern/nm.h"
#include "espalier/pattern/transposable_masks.h"

namespace espalier {
namespace {

constexpr std::int64_t kTile = 4;

// Top-left corner of a tile in the packed matrix of all rows by positions x channels, and how much
// of the tile lies inside its group and position.
struct Tile {
  std::int64_t row, column, rows, columns;
};

class TransposablePattern final : public Pattern {
 public:
  Kind kind() const override { return Kind::kPerGroup; }
  std::string Name() const override { return "2:4-transposable"; }
  std::int64_t RowsPerBand() const override { return kTile; }
  bool IsTransposable24() const override { return true; }

  void MaskGroups(std::span<const float> scores, const PackedShape& shape,
                  std::span<std::uint8_t> keep) const override {
    const std::int64_t stride = shape.positions * shape.channels;
    ForEachTile(shape, [&](const Tile& tile) {
      MaskTile(scores.data(), keep.data(), stride, tile);
      return false;
    });
  }

  std::optional<Violation> FindViolation(std::span<const std::uint8_t> nonzero,
                                         const PackedShape& shape) const override {
    const std::int64_t stride = shape.positions * shape.channels;
    std::optional<Violation> first;
    ForEachTile(shape, [&](const Tile& tile) {
      const std::int64_t most = MostNonzeros(nonzero.data(), stride, tile);
      if (most <= 2) return false;
      first = Violation{tile.row, tile.column / shape.channels, tile.column % shape.channels, most};
      return true;
    });
    return first;
  }

 private:
  // In packed order of the tiles' corners, until `visit` returns true. Tiles stay within a group
  // and a position.
  template <class Visit>
  static void ForEachTile(const PackedShape& shape, const Visit& visit) {
    for (std::int64_t group = 0; group < shape.groups; ++group) {
      for (std::int64_t row = 0; row < shape.rows; row += kTile) {
        for (std::int64_t position = 0; position < shape.positions; ++position) {
          for (std::int64_t channel = 0; channel < shape.channels; channel += kTile) {
            const Tile tile{group * shape.rows + row, position * shape.channels + channel,
                            std::min(kTile, shape.rows - row),
                            std::min(kTile, shape.channels - channel)};
            if (visit(tile)) return;
          }
        }
      }
    }
  }

  static void MaskTile(const float* scores, std::uint8_t* keep, std::int64_t stride,
                       const Tile& tile) {
    std::array<float, kTile * kTile> padded{};
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        padded[r * kTile + c] = scores[(tile.row + r) * stride + tile.column + c];
      }
    }
    const std::uint16_t mask = BestTransposableMask(padded.data());
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        keep[(tile.row + r) * stride + tile.column + c] = (mask >> (r * kTile + c)) & 1;
      }
    }
  }

  static std::int64_t MostNonzeros(const std::uint8_t* nonzero, std::int64_t stride,
                                   const Tile& tile) {
    std::array<std::int64_t, kTile> in_row{}, in_column{};
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        const std::int64_t one = nonzero[(tile.row + r) * stride + tile.column + c];
        in_row[r] += one;
        in_column[c] += one;
      }
    }
    return std::max(*std::ranges::max_element(in_row), *std::ranges::max_element(in_column));
  }
};

}  // namespace

std::unique_ptr<Pattern> ParseTransposable(std::string_view spec) {
  return spec == "2:4-transposable" ? std::make_unique<TransposablePattern>() : nullptr;
}

}  // namespace espalier
