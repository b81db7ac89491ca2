#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <set>

#include "espalier/pattern/nm.h"
#include "espalier/pattern/transposable_masks.h"
#include "tests/pattern/pattern_case.h"

namespace espalier {
namespace {

using testing::Make;
using testing::MaskOf;
using testing::PackedIndex;
using testing::WholeScores;
using Mask = std::vector<std::uint8_t>;

constexpr unsigned kRowBits = 0x000F;
constexpr unsigned kColumnBits = 0x1111;

bool HasTwoEachWay(unsigned mask) {
  for (int i = 0; i < 4; ++i) {
    if (std::popcount(mask & (kRowBits << (4 * i))) != 2) return false;
    if (std::popcount(mask & (kColumnBits << i)) != 2) return false;
  }
  return true;
}

// Found among all 65536. Masks with fewer than two somewhere are 2:4 both ways too, and a lone
// large score in a row and column of zeros would prefer one; the pattern promises two of each.
std::vector<unsigned> AllowedMasks() {
  std::vector<unsigned> masks;
  for (unsigned mask = 0; mask < 65536; ++mask) {
    if (HasTwoEachWay(mask)) masks.push_back(mask);
  }
  return masks;
}

float KeptScore(unsigned mask, const float* tile) {
  float sum = 0;  // whole numbers: exact in any order
  for (int i = 0; i < 16; ++i) sum += (mask >> i & 1) != 0 ? tile[i] : 0.0f;
  return sum;
}

float BestScore(const std::vector<unsigned>& masks, const float* tile) {
  float best = -1;
  for (const unsigned mask : masks) best = std::max(best, KeptScore(mask, tile));
  return best;
}

TEST(TransposableMasks, AreExactlyThe90WithTwoInEachRowAndColumn) {
  std::set<unsigned> listed;
  for (const auto& pairs : kTransposableMasks) {
    unsigned mask = 0;
    for (int row = 0; row < 4; ++row) mask |= unsigned{kPairMasks.at(pairs[row])} << (4 * row);
    listed.insert(mask);
  }
  const auto wanted = AllowedMasks();
  EXPECT_EQ(listed.size(), 90u);
  EXPECT_EQ(listed, std::set<unsigned>(wanted.begin(), wanted.end()));
}

TEST(TransposableMasks, StandInLexicalOrder) {
  EXPECT_TRUE(std::is_sorted(kTransposableMasks.begin(), kTransposableMasks.end()));
}

TEST(BestTransposableMask, NoMaskWithTwoEachWayKeepsMore) {
  const auto masks = AllowedMasks();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    // Few values make ties, many make a clear winner; every third tile is mostly zeros.
    auto tile = WholeScores(16, seed % 2 == 0 ? 3 : 10'000, seed);
    if (seed % 3 == 0) {
      for (std::size_t i = 0; i < 16; ++i) tile[i] = RandomAt(seed, 99 + i) % 4 ? 0.0f : tile[i];
    }
    const unsigned mask = BestTransposableMask(tile.data());
    EXPECT_TRUE(HasTwoEachWay(mask)) << "seed " << seed;
    EXPECT_EQ(KeptScore(mask, tile.data()), BestScore(masks, tile.data())) << "seed " << seed;
  }
}

TEST(BestTransposableMask, OfEqualScoresKeepsLowerColumnsInUpperRows) {
  const std::array<float, 16> same = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(BestTransposableMask(same.data()), 0b1100'1100'0011'0011);
}

// Cuts a tile out of one group and position; outside of the matrix there are zeros.
std::array<float, 16> TileAt(const std::vector<float>& values, const PackedShape& shape,
                             std::int64_t group, std::int64_t row, std::int64_t position,
                             std::int64_t channel) {
  std::array<float, 16> tile{};
  for (std::int64_t r = 0; r < 4 && row + r < shape.rows; ++r) {
    for (std::int64_t c = 0; c < 4 && channel + c < shape.channels; ++c) {
      tile[r * 4 + c] =
          values[PackedIndex(shape, group * shape.rows + row + r, position, channel + c)];
    }
  }
  return tile;
}

void ExpectEveryTileOptimal(const PackedShape& shape, const std::vector<unsigned>& masks) {
  const auto pattern = Make("2:4-transposable");
  const auto scores = WholeScores(shape.Elements(), 50, /*seed=*/11);
  const auto keep = MaskOf(*pattern, scores, shape);
  std::vector<float> kept(scores.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    ASSERT_LE(keep[i], 1) << "weight " << i << " was not written";
    kept[i] = keep[i] != 0 ? scores[i] : 0.0f;
  }
  EXPECT_EQ(pattern->FindViolation(keep, shape), std::nullopt);
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    for (std::int64_t position = 0; position < shape.positions; ++position) {
      for (std::int64_t row = 0; row < shape.rows; row += 4) {
        for (std::int64_t channel = 0; channel < shape.channels; channel += 4) {
          const auto all = TileAt(scores, shape, group, row, position, channel);
          const auto ours = TileAt(kept, shape, group, row, position, channel);
          EXPECT_EQ(KeptScore(0xFFFF, ours.data()), BestScore(masks, all.data()))
              << "group " << group << " row " << row << " position " << position << " channel "
              << channel;
        }
      }
    }
  }
}

TEST(TransposablePattern, IsOptimalInEveryTileUpToTheEdges) {
  const auto masks = AllowedMasks();
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8}) {
    for (const std::int64_t channels : {1, 2, 3, 4, 5, 6, 7, 8}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << channels << " channels");
      ExpectEveryTileOptimal({1, rows, 1, channels}, masks);
    }
  }
  ExpectEveryTileOptimal({2, 6, 3, 7}, masks);
}

TEST(TransposablePattern, NamesThePlaceOfABadRow) {
  const PackedShape shape{2, 6, 3, 10};
  Mask nonzero(shape.Elements(), 0);
  for (int c = 4; c < 8; ++c) nonzero[PackedIndex(shape, 6 + 5, 2, c)] = 1;  // group 1, row 5
  const auto found = Make("2:4-transposable")->FindViolation(nonzero, shape);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->row, 6 + 4);  // first row of the tile
  EXPECT_EQ(found->position, 2);
  EXPECT_EQ(found->channel, 4);
  EXPECT_EQ(found->nonzeros, 4);
}

TEST(TransposablePattern, NamesThePlaceOfABadColumn) {
  const PackedShape shape{1, 8, 1, 8};
  Mask nonzero(shape.Elements(), 0);
  for (int row = 4; row < 7; ++row) nonzero[PackedIndex(shape, row, 0, 3)] = 1;
  EXPECT_EQ(Make("2:4")->FindViolation(nonzero, shape), std::nullopt);
  const auto found = Make("2:4-transposable")->FindViolation(nonzero, shape);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->row, 4);
  EXPECT_EQ(found->channel, 0);
  EXPECT_EQ(found->nonzeros, 3);
}

// Whether a caller hands over a weight whole or in bands must not change the answer.
TEST(TransposablePattern, NamesTheFirstPlaceInPackedOrder) {
  const PackedShape shape{1, 12, 2, 4};
  Mask nonzero(shape.Elements(), 0);
  for (int c = 0; c < 3; ++c) nonzero[PackedIndex(shape, 8, 0, c)] = 1;
  for (int c = 0; c < 4; ++c) nonzero[PackedIndex(shape, 4, 1, c)] = 1;
  const auto found = Make("2:4-transposable")->FindViolation(nonzero, shape);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->row, 4);
  EXPECT_EQ(found->position, 1);
  EXPECT_EQ(found->nonzeros, 4);
}

TEST(TransposablePattern, TellsItsProperties) {
  const auto pattern = Make("2:4-transposable");
  EXPECT_EQ(pattern->kind(), Pattern::Kind::kPerGroup);
  EXPECT_EQ(pattern->RowsPerBand(), 4);
  EXPECT_TRUE(pattern->IsTransposable24());
  EXPECT_EQ(pattern->Nm(), std::nullopt);
  EXPECT_FALSE(pattern->IsElementwise());
}

}  // namespace
}  // namespace espalier
