#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "espalier/permute/search.h"

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
  const std::uint16_t* column(std::size_t col) const { return data_.get() + col * rows_; }

 private:
  struct Free {
    void operator()(std::uint16_t* data) const noexcept;
  };
  std::size_t rows_;
  std::size_t cols_;
  std::unique_ptr<std::uint16_t[], Free> data_;
};

}  // namespace espalier::internal
