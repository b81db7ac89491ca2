#include "runtime/ops/matrix_product.h"

#include <fmt/format.h>

#include <algorithm>

namespace espalier::runtime {
namespace {

[[noreturn]] void RefuseShapes(const Dims& a, const Dims& b) {
  throw Error(ErrorCode::kBadFile,
              fmt::format("a matrix product of {} and {}", DimsText(a), DimsText(b)));
}

// Matrices that each leading axis of the result moves by in an operand with `rank` leading axes.
void Steps(const Dims& dims, std::size_t rank, std::size_t result_rank,
           std::vector<std::int64_t>* steps) {
  steps->assign(result_rank, 0);
  std::int64_t step = 1;
  for (std::size_t i = rank; i > 0; --i) {
    if (dims[i - 1] != 1) (*steps)[result_rank - rank + i - 1] = step;
    step *= dims[i - 1];
  }
}

void Matrices(const Dims& batch, const std::vector<std::int64_t>& steps, std::size_t count,
              std::vector<std::int64_t>* matrices) {
  matrices->resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t matrix = 0;
    for (std::size_t axis = batch.size(); axis > 0; --axis) {
      matrix += rest % batch[axis - 1] * steps[axis - 1];
      rest /= batch[axis - 1];
    }
    (*matrices)[i] = matrix;
  }
}

}  // namespace

void ProductShape::Place(const Dims& a, const Dims& b) {
  if (a.empty() || b.empty()) RefuseShapes(a, b);
  const std::size_t a_rank = a.size() == 1 ? 0 : a.size() - 2;
  const std::size_t b_rank = b.size() == 1 ? 0 : b.size() - 2;
  m = a.size() == 1 ? 1 : a[a_rank];
  k = a.back();
  n = b.size() == 1 ? 1 : b.back();
  if ((b.size() == 1 ? b[0] : b[b_rank]) != k) RefuseShapes(a, b);
  const std::size_t rank = std::max(a_rank, b_rank);
  batch.assign(rank, 1);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t x = i + a_rank < rank ? 1 : a[i + a_rank - rank];
    const std::int64_t y_dim = i + b_rank < rank ? 1 : b[i + b_rank - rank];
    if (x != y_dim && x != 1 && y_dim != 1) RefuseShapes(a, b);
    batch[i] = x == 1 ? y_dim : x;
  }
  y = batch;
  if (a.size() > 1) y.push_back(m);
  if (b.size() > 1) y.push_back(n);
  const auto count = static_cast<std::size_t>(ElementCount(batch));
  Steps(a, a_rank, rank, &a_steps);
  Steps(b, b_rank, rank, &b_steps);
  if (ElementCount(y) == 0) return;
  // One matrix B for all of A: one product with all of A's rows.
  if (b_rank == 0) {
    m *= static_cast<std::int64_t>(count);
    a_matrices.assign(1, 0);
    b_matrices.assign(1, 0);
    return;
  }
  Matrices(batch, a_steps, count, &a_matrices);
  Matrices(batch, b_steps, count, &b_matrices);
}

}  // namespace espalier::runtime
