#pragma once

#include <cstddef>
#include <cstdint>

#include "espalier/permute/search.h"
#include "permute/aligned.h"

namespace espalier::internal {

/// A score matrix as the kernels of permute_gain.h read it: by columns, in whole numbers below
/// 2^15. A number's unit is 1/128 of the mean score, or more where nothing is larger than 256
/// times the mean; what is larger than that counts as that.
class Magnitudes {
 public:
  explicit Magnitudes(const ScoreMatrix& matrix);

  /// Elements of a column: the rows, padded with zeros.
  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  const std::uint16_t* column(std::size_t col) const { return data_.data() + col * rows_; }

 private:
  std::size_t rows_;
  std::size_t cols_;
  AlignedArray<std::uint16_t> data_;
};

}  // namespace espalier::internal
