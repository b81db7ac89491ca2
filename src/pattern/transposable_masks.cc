#include "espalier/pattern/transposable_masks.h"

#include <bit>

namespace espalier {

std::uint16_t BestTransposableMask(const float* scores) {
  float pair_score[4][6];
  for (int row = 0; row < 4; ++row) {
    for (int pair = 0; pair < 6; ++pair) {
      const unsigned mask = kPairMasks[pair];
      const int lower = std::countr_zero(mask);
      const int higher = std::bit_width(mask) - 1;
      pair_score[row][pair] = scores[row * 4 + lower] + scores[row * 4 + higher];
    }
  }
  float best_score = -1.0f;
  const std::array<std::uint8_t, 4>* best = nullptr;
  for (const auto& pairs : kTransposableMasks) {
    const float score = (pair_score[0][pairs[0]] + pair_score[1][pairs[1]]) +
                        (pair_score[2][pairs[2]] + pair_score[3][pairs[3]]);
    if (score > best_score) {
      best_score = score;
      best = &pairs;
    }
  }
  unsigned mask = 0;
  for (int row = 0; row < 4; ++row) mask |= kPairMasks[(*best)[row]] << (4 * row);
  return static_cast<std::uint16_t>(mask);
}

}  // namespace espalier
