#pragma once

#include <array>
#include <cstdint>

namespace espalier {

/// The six ways to keep two of four, as bits (bit i keeps column i), lower columns first.
inline constexpr std::array<std::uint8_t, 6> kPairMasks = {0b0011, 0b0101, 0b1001,
                                                           0b0110, 0b1010, 0b1100};

/// The 90 masks of a 4x4 tile with two kept in each row and in each column: for every row the index
/// of its pair in kPairMasks. In lexical order of (row 0, row 1, row 2, row 3), so that of two
/// equally good masks the earlier one keeps lower columns in the upper rows.
constexpr std::array<std::array<std::uint8_t, 4>, 90> MakeTransposableMasks() {
  std::array<std::array<std::uint8_t, 4>, 90> masks{};
  std::size_t count = 0;
  for (std::uint8_t choice = 0; choice < 6; ++choice) {
    for (std::uint8_t second = 0; second < 6; ++second) {
      for (std::uint8_t third = 0; third < 6; ++third) {
        for (std::uint8_t fourth = 0; fourth < 6; ++fourth) {
          bool two_each = true;
          for (int column = 0; column < 4; ++column) {
            const int kept = (kPairMasks[choice] >> column & 1) +
                             (kPairMasks[second] >> column & 1) +
                             (kPairMasks[third] >> column & 1) + (kPairMasks[fourth] >> column & 1);
            two_each = two_each && kept == 2;
          }
          if (two_each) masks[count++] = {choice, second, third, fourth};
        }
      }
    }
  }
  return masks;
}
inline constexpr auto kTransposableMasks = MakeTransposableMasks();

/// The best of the 90 masks for one tile, in plain loops: what the kernels are checked against.
///
/// The score of a mask is (pair of row 0 + pair of row 1) + (pair of row 2 + pair of row 3) in
/// float, each pair its lower column + its higher one; the first of the largest wins.
/// @param scores  16 scores, row-major; finite, >= 0, and their sum finite.
/// @return        16 bits, bit 4 * row + column set where the score is kept.
std::uint16_t BestTransposableMask(const float* scores);

}  // namespace espalier
