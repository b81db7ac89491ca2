#include "espalier/permute/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "espalier/base/thread_pool.h"
#include "espalier/kernels/permute_gain.h"
#include "permute/assignment.h"
#include "permute/magnitudes.h"

namespace espalier {
namespace {

using internal::AlignedArray;
using internal::Assignment;
using internal::Magnitudes;

// Groups of one assignment. The gains of 128 x 128 columns and the levels of 512 rows stay in L2.
constexpr std::size_t kBatch = 128;
// Gains are cut to so many bits for the assignment.
constexpr int kGainBits = 26;
// Fewer products than this are not worth a second thread.
constexpr std::size_t kWorkForThreads = 1 << 18;
// The last share of the rounds goes without noise, down to the next optimum.
constexpr double kCoolRounds = 0.02;
// Small matrices end in one of many optima: of 8 shorter searches, each from the best order so far
// with a little less noise, the best is better than one long one's (uniform 128 x 64: 38.9 instead
// of 38.3 % of what could be gained, median of 16 seeds).
constexpr std::int64_t kSmallCols = 64;
constexpr int kSmallSearches = 8;
constexpr double kLaterHeat = 0.85;

// Numbers that are about normal, of standard deviation 2^12: the sum of 12 uniform ones of 12 bits.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : table_(kSize) {
    for (std::size_t i = 0; i < kSize; ++i) {
      std::int32_t sum = -12 * 2047;
      for (std::uint64_t j = 0; j < 12; ++j) {
        sum += static_cast<std::int32_t>(RandomAt(seed, 12 * i + j) >> 52);
      }
      table_[i] = sum;
    }
  }
  std::int64_t At(std::uint64_t index) const { return table_[index % kSize]; }

 private:
  static constexpr std::size_t kSize = 1 << 14;
  std::vector<std::int32_t> table_;
};
constexpr int kNoiseBits = 12;

class Search {
 public:
  Search(const ScoreMatrix& matrix, const NmGroup& nm, const PermuteOptions& options)
      : columns_(matrix),
        n_(static_cast<std::size_t>(nm.n)),
        m_(static_cast<std::size_t>(nm.m)),
        options_(options),
        noise_(SeedFor(options.seed, "noise")),
        order_(columns_.cols()),
        groups_(columns_.cols() / m_) {
    levels_.Reserve(std::min(kBatch, groups_.size()) * columns_.rows());
    std::iota(order_.begin(), order_.end(), 0u);
    std::iota(groups_.begin(), groups_.end(), 0u);
    while ((columns_.rows() * 32767 >> shift_) >> kGainBits != 0) ++shift_;
  }

  const std::vector<std::uint32_t>& order() const { return order_; }
  void SetOrder(const std::vector<std::uint32_t>& order) { order_ = order; }

  // Rounds whose noise falls from `heat` times the usual to nothing.
  void Anneal(std::int64_t rounds, double heat) {
    if (groups_.size() < 2) return;
    for (std::int64_t round = 0; round < rounds; ++round) {
      const double done = static_cast<double>(round) / static_cast<double>(rounds);
      const double left = std::max(0.0, 1 - kCoolRounds - done);
      Shuffle();
      for (std::size_t begin = 0; begin + 1 < groups_.size(); begin += kBatch) {
        const std::size_t end = std::min(groups_.size(), begin + kBatch);
        Reassign({groups_.data() + begin, end - begin},
                 heat * HeatOf(columns_.cols()) * left * left);
      }
    }
  }

 private:
  // In standard deviations of the gains: what was best on the reference matrices of each size.
  static double HeatOf(std::size_t cols) { return cols <= 128 ? 0.2 : 0.05; }

  std::uint64_t Random() { return RandomAt(options_.seed, counter_++); }

  void Shuffle() {
    if (groups_.size() <= kBatch) return;  // they meet anyway
    for (std::size_t i = groups_.size() - 1; i > 0; --i) {
      std::swap(groups_[i], groups_[Random() % (i + 1)]);
    }
  }

  // Takes a column out of each group and finds out what the group keeps above.
  void TakeColumns(std::span<const std::uint32_t> groups) {
    places_.clear();
    taken_.clear();
    std::vector<const std::uint16_t*>& others = others_;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const std::size_t first = groups[i] * m_;
      const std::size_t out = first + Random() % m_;
      others.clear();
      for (std::size_t at = first; at < first + m_; ++at) {
        if (at != out) others.push_back(columns_.column(order_[at]));
      }
      NthLargest(others.data(), others.size(), n_, columns_.rows(),
                 levels_.data() + i * columns_.rows());
      places_.push_back(out);
      taken_.push_back(order_[out]);
    }
  }

  void FindGains() {
    const std::size_t count = taken_.size();
    const std::size_t stride = internal::AssignmentStride(count);
    gains_.Reserve(count * stride);
    const bool large = count * count * columns_.rows() >= kWorkForThreads;
    const int threads = large ? options_.threads : 1;
    wide_.resize(count * static_cast<std::size_t>(threads));
    const std::uint16_t* const levels = levels_.data();
    ThreadPool::Shared().Run(threads, static_cast<std::size_t>(threads), [&](std::size_t t) {
      std::int64_t* const wide = wide_.data() + t * count;
      for (std::size_t i = t; i < count; i += static_cast<std::size_t>(threads)) {
        ColumnGains(columns_.column(taken_[i]), levels, count, columns_.rows(), wide);
        // Less its mean, which no assignment changes: else all places would want the same few
        // columns, and the solver would take 2 to 5 times as long to share them out.
        const std::int64_t mean =
            std::accumulate(wide, wide + count, std::int64_t{0}) / static_cast<std::int64_t>(count);
        for (std::size_t j = 0; j < count; ++j) {
          gains_[i * stride + j] = static_cast<std::int32_t>((wide[j] - mean) >> shift_);
        }
      }
    });
  }

  // The sum is exact, the root correctly rounded: the same on every machine.
  std::int64_t DeviationOfGains() const {
    const std::size_t count = taken_.size();
    const std::size_t stride = internal::AssignmentStride(count);
    double squares = 0;  // of the distances to the items' means
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        const double gain = gains_[i * stride + j];
        squares += gain * gain;
      }
    }
    return static_cast<std::int64_t>(std::sqrt(squares / static_cast<double>(count * count)));
  }

  void AddNoise(double heat) {
    if (deviation_ < 0) deviation_ = DeviationOfGains();
    const auto scale = static_cast<std::int64_t>(heat * static_cast<double>(deviation_));
    if (scale == 0) return;
    const std::uint64_t first = Random();
    const std::size_t used = taken_.size() * internal::AssignmentStride(taken_.size());
    for (std::size_t i = 0; i < used; ++i) {
      gains_[i] += static_cast<std::int32_t>(scale * noise_.At(first + i) >> kNoiseBits);
    }
  }

  void Reassign(std::span<const std::uint32_t> groups, double heat) {
    TakeColumns(groups);
    FindGains();
    AddNoise(heat);
    const auto best = assignment_.Solve(gains_.data(), taken_.size());
    for (std::size_t i = 0; i < places_.size(); ++i) order_[places_[i]] = taken_[best[i]];
  }

  Magnitudes columns_;
  std::size_t n_;
  std::size_t m_;
  PermuteOptions options_;
  Noise noise_;
  std::vector<std::uint32_t> order_;
  std::vector<std::uint32_t> groups_;
  AlignedArray<std::uint16_t> levels_;  // [place][row]
  std::vector<std::size_t> places_;
  std::vector<std::uint32_t> taken_;
  std::vector<const std::uint16_t*> others_;
  std::vector<std::int64_t> wide_;
  AlignedArray<std::int32_t> gains_;  // [taken][AssignmentStride() places]
  std::int64_t deviation_ = -1;
  Assignment assignment_;
  std::uint64_t counter_ = 0;
  int shift_ = 0;
};

// Cycles of one round, as measured on Zen 3 with AVX2; only the sizes count, so that the number of
// rounds is the same everywhere.
double CyclesOfRound(const ScoreMatrix& matrix, std::int64_t m) {
  const double rows = static_cast<double>(matrix.rows) + 32;
  const double groups = static_cast<double>(matrix.cols / m);
  const double batch = std::min(groups, static_cast<double>(kBatch));
  const double gains = groups * batch * rows / 7;
  const double levels = groups * static_cast<double>(m) * rows / 8;
  return gains + levels + groups * batch * 60 + groups * 300;
}

std::int64_t RoundsFor(const ScoreMatrix& matrix, std::int64_t m, const PermuteOptions& options) {
  // Half a second up to 128 x 128, then with the 0.55th power of the weights up to 20 s.
  const double weights = static_cast<double>(matrix.rows) * static_cast<double>(matrix.cols);
  const double growth = std::pow(std::max(1.0, weights / (128 * 128)), 0.55);
  const double effort = options.effort == PermuteEffort::kFast   ? 0.1
                        : options.effort == PermuteEffort::kBest ? 9
                                                                 : 1;
  const double cycles = 1.3e9 * std::min(growth, 40.0) * effort * options.share;
  // A few columns have few orders: 8 in groups of 4 only 35.
  const double most = 100.0 * static_cast<double>(matrix.cols * matrix.cols);
  return std::max<std::int64_t>(20,
                                std::llround(std::min(most, cycles / CyclesOfRound(matrix, m))));
}

void CheckMatrix(const ScoreMatrix& matrix, const NmGroup& nm) {
  const auto fail = [](const std::string& text) { throw Error(ErrorCode::kInvalidArgument, text); };
  if (matrix.rows < 1 || matrix.cols < 1 ||
      matrix.scores.size() != static_cast<std::size_t>(matrix.rows * matrix.cols)) {
    fail(fmt::format("{} scores for a matrix of {} x {}", matrix.scores.size(), matrix.rows,
                     matrix.cols));
  }
  if (nm.n < 1 || nm.m < 1 || nm.n > nm.m || matrix.cols % nm.m != 0) {
    fail(fmt::format("{} columns in groups of {} that keep {}", matrix.cols, nm.m, nm.n));
  }
  for (std::size_t i = 0; i < matrix.scores.size(); ++i) {
    if (matrix.scores[i] >= 0 && std::isfinite(matrix.scores[i])) continue;
    fail(fmt::format("a score of {} in row {}, column {}", matrix.scores[i],
                     i / static_cast<std::size_t>(matrix.cols),
                     i % static_cast<std::size_t>(matrix.cols)));
  }
}

double SumOf(std::span<const float> scores) {
  return std::accumulate(scores.begin(), scores.end(), 0.0);
}

// The sum of the `count` largest.
double SumOfLargest(std::vector<float>& scores, std::size_t count) {
  const auto end = scores.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(scores.begin(), end == scores.end() ? end - 1 : end, scores.end(),
                   std::greater<>());
  std::sort(scores.begin(), end);  // a fixed order of adding
  return std::accumulate(scores.begin(), end, 0.0);
}

double BoundOf(const ScoreMatrix& matrix, const NmGroup& nm) {
  const double total = SumOf(matrix.scores);
  if (total == 0) return 1;
  const auto cols = static_cast<std::size_t>(matrix.cols);
  double kept = 0;
  std::vector<float> row(cols);
  for (std::size_t r = 0; r < static_cast<std::size_t>(matrix.rows); ++r) {
    row.assign(matrix.scores.begin() + static_cast<std::ptrdiff_t>(r * cols),
               matrix.scores.begin() + static_cast<std::ptrdiff_t>((r + 1) * cols));
    kept +=
        SumOfLargest(row, cols / static_cast<std::size_t>(nm.m) * static_cast<std::size_t>(nm.n));
  }
  return kept / total;
}

// Groups by their first column, columns of a group in rising order: the least change to look at.
void SortGroups(std::vector<std::uint32_t>& order, std::size_t m) {
  std::vector<std::vector<std::uint32_t>> groups;
  for (std::size_t first = 0; first < order.size(); first += m) {
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
    groups.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(m));
    std::ranges::sort(groups.back());
  }
  std::ranges::sort(groups);
  order.clear();
  for (const auto& group : groups) order.insert(order.end(), group.begin(), group.end());
}

}  // namespace

double PermuteResult::Efficacy() const {
  return kept_bound > kept_before ? (kept_after - kept_before) / (kept_bound - kept_before) : 0;
}

double KeptShare(const ScoreMatrix& matrix, const NmGroup& nm,
                 std::span<const std::uint32_t> order) {
  const double total = SumOf(matrix.scores);
  if (total == 0) return 1;
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const auto m = static_cast<std::size_t>(nm.m);
  double kept = 0;
  std::vector<float> group(m);
  for (std::size_t r = 0; r < static_cast<std::size_t>(matrix.rows); ++r) {
    const float* const row = matrix.scores.data() + r * cols;
    for (std::size_t first = 0; first < cols; first += m) {
      for (std::size_t i = 0; i < m; ++i) group[i] = row[order[first + i]];
      kept += SumOfLargest(group, static_cast<std::size_t>(nm.n));
    }
  }
  return kept / total;
}

PermuteResult SearchPermutation(const ScoreMatrix& matrix, const NmGroup& nm,
                                const PermuteOptions& options) {
  CheckMatrix(matrix, nm);
  PermuteResult result;
  result.order.resize(static_cast<std::size_t>(matrix.cols));
  std::iota(result.order.begin(), result.order.end(), 0u);
  result.kept_before = result.kept_after = KeptShare(matrix, nm, result.order);
  result.kept_bound = BoundOf(matrix, nm);
  if (nm.n == nm.m || matrix.cols == nm.m) return result;
  result.rounds = options.rounds > 0 ? options.rounds : RoundsFor(matrix, nm.m, options);
  Search search(matrix, nm, options);
  const int searches = matrix.cols <= kSmallCols ? kSmallSearches : 1;
  for (int i = 0; i < searches; ++i) {
    search.Anneal((result.rounds + i) / searches, i == 0 ? 1 : kLaterHeat);
    std::vector<std::uint32_t> order = search.order();
    SortGroups(order, static_cast<std::size_t>(nm.m));
    const double kept = KeptShare(matrix, nm, order);
    if (kept > result.kept_after) {
      result.kept_after = kept;
      result.order = std::move(order);
    }
    search.SetOrder(result.order);
  }
  return result;
}

}  // namespace espalier
