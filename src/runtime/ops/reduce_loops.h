#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "espalier/kernels/map_row.h"
#include "runtime/ops/dispatch.h"

namespace espalier::runtime {

/// A reduction as nested loops with as few levels as possible: neighbouring axes that are all
/// reduced, or all kept, are one; axes of size 1 are none.
class ReducePlan {
 public:
  static constexpr std::size_t kMaxLoops = 16;
  struct Loop {
    std::size_t size;
    std::size_t stride;
  };

  /// @param reduced  For each dimension whether it is reduced.
  /// @throws Error   kUnsupported if over kMaxLoops levels are left.
  void Plan(const Dims& dims, const std::vector<char>& reduced);

  std::span<const Loop> kept() const { return kept_; }        // innermost first
  std::span<const Loop> reduced() const { return reduced_; }  // innermost first
  std::size_t outputs() const { return outputs_; }
  /// Elements that make one output.
  std::size_t terms() const { return terms_; }
  /// Whether neighbouring elements go to the same output.
  bool rows() const { return rows_; }

 private:
  std::vector<Loop> kept_;
  std::vector<Loop> reduced_;
  std::size_t outputs_ = 1;
  std::size_t terms_ = 1;
  bool rows_ = false;
};

/// The offsets of nested loops' elements one by one; no loop is empty.
class LoopWalk {
 public:
  LoopWalk(std::span<const ReducePlan::Loop> loops, std::size_t start) : loops_(loops) {
    for (std::size_t l = 0; l < loops.size(); ++l) {
      index_[l] = start % loops[l].size;
      offset_ += index_[l] * loops[l].stride;
      start /= loops[l].size;
    }
  }
  std::size_t offset() const { return offset_; }
  void Next() {
    for (std::size_t l = 0; l < loops_.size(); ++l) {
      offset_ += loops_[l].stride;
      if (++index_[l] < loops_[l].size) return;
      offset_ -= loops_[l].size * loops_[l].stride;
      index_[l] = 0;
    }
  }

 private:
  std::span<const ReducePlan::Loop> loops_;
  std::array<std::size_t, ReducePlan::kMaxLoops> index_;
  std::size_t offset_ = 0;
};

/// What becomes of a total.
enum class ReduceEnd : unsigned char { kNone, kMean, kSqrt, kLog };

// How elements of type T make one number. They are first added to partial results (Part), of which
// there are many and each for at most kReduceBlock elements, and those to the Total: float sums
// add blocks in float, and the blocks' sums in double. Integers wrap.
inline constexpr std::size_t kReduceBlock = 256;
// Columns that are summed side by side: their parts and totals take 12 KB of the first-level cache.
inline constexpr std::size_t kReduceColumns = 1024;

template <typename T, bool = std::is_integral_v<T>>
struct Wrapping {
  using Type = std::make_unsigned_t<T>;
  using Total = Type;
};
template <typename T>
struct Wrapping<T, false> {
  using Type = T;
  using Total = double;
};

template <typename T>
bool IsNan(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(x);
  return false;
}

/// Whether the reduction F of T has a kernel that does it to two rows.
template <typename F, typename T>
inline constexpr bool kHasKernel = false;
template <typename F>
requires requires { F::kCombine; }
inline constexpr bool kHasKernel<F, float> = true;

template <typename T>
struct SumOf {
  using Part = typename Wrapping<T>::Type;
  using Total = typename Wrapping<T>::Total;
  static constexpr Part kStart = 0;
  static Part Add(Part part, T x) { return part + static_cast<Part>(x); }
  static Part Join(Part a, Part b) { return a + b; }
  static Total Merge(Total total, Total part) { return total + part; }
};

template <typename T>
struct AbsoluteSumOf : SumOf<T> {
  using Part = typename SumOf<T>::Part;
  static Part Add(Part part, T x) {
    if constexpr (std::is_floating_point_v<T>) {
      return part + std::abs(x);
    } else {
      return part + (x < T{0} ? Part{0} - static_cast<Part>(x) : static_cast<Part>(x));
    }
  }
};

template <typename T>
struct SquareSumOf : SumOf<T> {
  using Part = typename SumOf<T>::Part;
  static Part Add(Part part, T x) { return part + static_cast<Part>(x) * static_cast<Part>(x); }
};

/// In double, so that no partial product of floats overflows that the whole does not.
template <typename T>
struct ProductOf {
  using Part = typename Wrapping<T>::Total;
  using Total = Part;
  static constexpr Part kStart = 1;
  static Part Add(Part part, T x) { return part * static_cast<Part>(x); }
  static Part Join(Part a, Part b) { return a * b; }
  static Total Merge(Total total, Part part) { return total * part; }
};

/// A NaN among the elements is the result, so that it depends on no order.
template <typename T>
struct MaxOf {
  using Part = T;
  using Total = T;
  static constexpr CombineKind kCombine = CombineKind::kMax;
  static constexpr T kStart = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                                          : std::numeric_limits<T>::lowest();
  static T Add(T part, T x) { return x > part || IsNan(x) ? x : part; }
  static T Join(T a, T b) { return Add(a, b); }
  static T Merge(T total, T part) { return Add(total, part); }
};

template <typename T>
struct MinOf {
  using Part = T;
  using Total = T;
  static constexpr CombineKind kCombine = CombineKind::kMin;
  static constexpr T kStart = std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity()
                                                          : std::numeric_limits<T>::max();
  static T Add(T part, T x) { return x < part || IsNan(x) ? x : part; }
  static T Join(T a, T b) { return Add(a, b); }
  static T Merge(T total, T part) { return Add(total, part); }
};

template <typename T, typename Total>
T EndOf(ReduceEnd end, Total total, std::size_t terms) {
  if constexpr (std::is_floating_point_v<Total>) {
    if (end == ReduceEnd::kMean) total /= static_cast<Total>(terms);
    if (end == ReduceEnd::kSqrt) total = std::sqrt(total);
    if (end == ReduceEnd::kLog) total = std::log(total);
    return static_cast<T>(total);
  } else {
    const T value = static_cast<T>(total);
    if (end != ReduceEnd::kMean || terms == 0) return value;
    if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(value / static_cast<std::int64_t>(terms));
    } else {
      return static_cast<T>(value / terms);
    }
  }
}

/// The same by folding a block of columns. `count` is at least kReduceBlock.
template <typename F>
float FoldRow(const float* x, std::size_t count) {
  std::array<float, kReduceBlock> lanes;
  std::copy_n(x, kReduceBlock, lanes.begin());
  for (std::size_t i = kReduceBlock; i < count; i += kReduceBlock) {
    CombineRow(F::kCombine, lanes.data(), 1, x + i, 1, lanes.data(),
               std::min(kReduceBlock, count - i));
  }
  for (std::size_t width = kReduceBlock / 2; width > 0; width /= 2) {
    CombineRow(F::kCombine, lanes.data(), 1, lanes.data() + width, 1, lanes.data(), width);
  }
  return lanes[0];
}

/// One number of `count` neighbours, in 16 lanes that the compiler makes vectors of.
template <typename F, typename T>
typename F::Total ReduceRow(const T* x, std::size_t count) {
  if constexpr (kHasKernel<F, T>) {
    if (count >= 2 * kReduceBlock) return FoldRow<F>(x, count);
  }
  constexpr std::size_t kLanes = 16;
  typename F::Total total = F::kStart;
  while (count >= kLanes) {
    const std::size_t block = std::min(count, kReduceBlock * kLanes) / kLanes * kLanes;
    std::array<typename F::Part, kLanes> lanes;
    lanes.fill(F::kStart);
    for (std::size_t i = 0; i < block; i += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) lanes[l] = F::Add(lanes[l], x[i + l]);
    }
    std::array<typename F::Part, 4> four;
    for (std::size_t l = 0; l < 4; ++l) {
      four[l] = F::Join(F::Join(lanes[l], lanes[l + 4]), F::Join(lanes[l + 8], lanes[l + 12]));
    }
    total = F::Merge(total, F::Join(F::Join(four[0], four[1]), F::Join(four[2], four[3])));
    x += block;
    count -= block;
  }
  typename F::Part rest = F::kStart;
  for (std::size_t i = 0; i < count; ++i) rest = F::Add(rest, x[i]);
  return F::Merge(total, rest);
}

/// out[begin, end) where neighbours go to the same output.
template <typename F, typename T>
void ReduceRows(const ReducePlan& plan, ReduceEnd end_step, const T* x, std::size_t begin,
                std::size_t end, T* out) {
  const std::size_t row = plan.reduced()[0].size;
  const std::size_t rows = plan.terms() / row;
  LoopWalk kept(plan.kept(), begin);
  for (std::size_t o = begin; o < end; ++o, kept.Next()) {
    typename F::Total total = F::kStart;
    LoopWalk reduced(plan.reduced().subspan(1), 0);
    for (std::size_t r = 0; r < rows; ++r, reduced.Next()) {
      total = F::Merge(total, ReduceRow<F>(x + kept.offset() + reduced.offset(), row));
    }
    out[o] = EndOf<T>(end_step, total, plan.terms());
  }
}

/// out[0, count) from the columns of `plan.terms()` rows.
template <typename F, typename T>
void ReduceColumnBlock(const ReducePlan& plan, const T* x, std::size_t count,
                       typename F::Total* totals) {
  std::array<typename F::Part, kReduceColumns> parts;
  std::fill_n(totals, count, typename F::Total{F::kStart});
  LoopWalk reduced(plan.reduced(), 0);
  for (std::size_t t = 0; t < plan.terms();) {
    const std::size_t stop = std::min(t + kReduceBlock, plan.terms());
    std::fill_n(parts.begin(), count, F::kStart);
    for (; t < stop; ++t, reduced.Next()) {
      const T* row = x + reduced.offset();
      if constexpr (kHasKernel<F, T>) {
        CombineRow(F::kCombine, parts.data(), 1, row, 1, parts.data(), count);
      } else {
        for (std::size_t j = 0; j < count; ++j) parts[j] = F::Add(parts[j], row[j]);
      }
    }
    for (std::size_t j = 0; j < count; ++j) totals[j] = F::Merge(totals[j], parts[j]);
  }
}

/// out[begin, end) where neighbours go to neighbours.
template <typename F, typename T>
void ReduceColumns(const ReducePlan& plan, ReduceEnd end_step, const T* x, std::size_t begin,
                   std::size_t end, T* out) {
  const std::size_t columns = plan.kept().empty() ? 1 : plan.kept()[0].size;
  std::array<typename F::Total, kReduceColumns> totals;
  const auto outer = plan.kept().empty() ? plan.kept() : plan.kept().subspan(1);
  LoopWalk kept(outer, begin / columns);
  std::size_t column = begin % columns;
  while (begin < end) {
    const std::size_t count = std::min({kReduceColumns, columns - column, end - begin});
    ReduceColumnBlock<F>(plan, x + kept.offset() + column, count, totals.data());
    for (std::size_t j = 0; j < count; ++j) {
      out[begin + j] = EndOf<T>(end_step, totals[j], plan.terms());
    }
    begin += count;
    column += count;
    if (column == columns) {
      column = 0;
      kept.Next();
    }
  }
}

}  // namespace espalier::runtime
