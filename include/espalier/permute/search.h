#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "espalier/pattern/pattern.h"

namespace espalier {

/// How long a search may take, as a number of rounds that depends on the matrix's size alone.
enum class PermuteEffort { kFast, kDefault, kBest };

struct PermuteOptions {
  PermuteEffort effort = PermuteEffort::kDefault;
  double share = 1;         ///< Part of the effort's rounds, for one of several matrices.
  std::int64_t rounds = 0;  ///< Instead of the effort's; 0 for those.
  std::uint64_t seed = 0;   ///< Same inputs, effort and seed give the same order everywhere.
  int threads = 1;          ///< Does not change the result.
};

/// How much each weight of a matrix matters, usually its magnitude.
struct ScoreMatrix {
  std::span<const float> scores;  ///< [rows, cols], row-major, finite, at least 0.
  std::int64_t rows = 0;          ///< Output channels x kernel positions, of all consumers.
  std::int64_t cols = 0;          ///< Input channels, which are reordered.
};

struct PermuteResult {
  std::vector<std::uint32_t> order;  ///< order[new column] = old column.
  double kept_before = 0;            ///< Kept / sum of all scores, 0..1, in the old order.
  double kept_after = 0;             ///< The same for `order`; never below kept_before.
  double kept_bound = 0;  ///< The same if each row kept its best N / M wherever they are.
  std::int64_t rounds = 0;

  /// Share of what any order could gain at most; 0 if there is nothing to gain.
  double Efficacy() const;
};

/// Finds an order of the columns under which N:M keeps more.
///
/// Each round takes one column out of every group, at random, and puts them back in the best way
/// at once: what a group gains by a column does not depend on what the other groups get, so this
/// is an assignment problem, solved exactly. Noise on the gains, falling to nothing, lets the
/// search leave a local optimum. Scores are rounded to 15 bits for the search; the result is
/// judged in double precision.
///
/// @param nm   M must divide the number of columns.
/// @return     See PermuteResult; the old order if nothing better was found.
/// @throws Error  kInvalidArgument if the matrix is empty, M does not divide its columns, or a
///                score is negative, infinite or NaN.
/// @cost   2 bytes a weight beside the matrix. Any number of calls at once.
/// @source The problem: Pool and Yu, "Channel Permutations for N:M Sparsity", NeurIPS 2021.
///         Differs: assignments of many columns at once instead of pairs of groups and swaps.
PermuteResult SearchPermutation(const ScoreMatrix& matrix, const NmGroup& nm,
                                const PermuteOptions& options = {});

/// Kept / sum of all scores under an order; 1 if all scores are 0.
double KeptShare(const ScoreMatrix& matrix, const NmGroup& nm,
                 std::span<const std::uint32_t> order);

}  // namespace espalier
