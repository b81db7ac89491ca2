#include "permute/magnitudes.h"

#include <algorithm>

#include "espalier/kernels/permute_gain.h"

namespace espalier::internal {
namespace {

constexpr double kLargest = 32767;
constexpr double kMostOverMean = 256;
constexpr std::size_t kTile = 64;  // rows at a time: a cache line of each column

double UnitOf(const ScoreMatrix& matrix) {
  double sum = 0;
  float largest = 0;
  for (const float score : matrix.scores) {
    sum += score;
    largest = std::max(largest, score);
  }
  const double mean = sum / static_cast<double>(matrix.scores.size());
  return std::min<double>(largest, kMostOverMean * mean) / kLargest;
}

}  // namespace

Magnitudes::Magnitudes(const ScoreMatrix& matrix)
    : rows_((static_cast<std::size_t>(matrix.rows) + kPermuteRowUnit - 1) / kPermuteRowUnit *
            kPermuteRowUnit),
      cols_(static_cast<std::size_t>(matrix.cols)) {
  data_.Reserve(rows_ * cols_);
  const double unit = UnitOf(matrix);
  if (unit == 0) return;
  const auto rows = static_cast<std::size_t>(matrix.rows);
  for (std::size_t begin = 0; begin < rows; begin += kTile) {
    const std::size_t end = std::min(rows, begin + kTile);
    for (std::size_t col = 0; col < cols_; ++col) {
      std::uint16_t* const to = data_.data() + col * rows_;
      for (std::size_t row = begin; row < end; ++row) {
        const double units = matrix.scores[row * cols_ + col] / unit + 0.5;
        to[row] = static_cast<std::uint16_t>(std::min(units, kLargest));
      }
    }
  }
}

}  // namespace espalier::internal
