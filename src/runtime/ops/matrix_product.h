#pragma once

#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

/// numpy.matmul's shapes: [..., m, k] times [..., k, n], leading axes broadcast, vectors promoted.
struct ProductShape {
  std::int64_t m = 1, n = 1, k = 1;
  Dims y;                             ///< Of the result.
  Dims batch;                         ///< Leading axes of the result.
  std::vector<std::int64_t> a_steps;  ///< Matrices of A that an axis of `batch` moves by.
  std::vector<std::int64_t> b_steps;
  std::vector<std::int64_t> a_matrices;  ///< Which matrix of A each product takes.
  std::vector<std::int64_t> b_matrices;

  /// @throws Error  kBadFile with both shapes if they do not fit.
  void Place(const Dims& a, const Dims& b);
};

}  // namespace espalier::runtime
