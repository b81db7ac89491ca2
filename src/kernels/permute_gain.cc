#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/permute_gain.cc"
// Arrays of vectors; SVE's have no size, so such machines run NEON.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#include "espalier/kernels/permute_gain.h"

#include <algorithm>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most kPermuteRowUnit lanes, so that whole vectors cover the rows.
using Tag = hn::CappedTag<uint16_t, kPermuteRowUnit>;
using Vec = hn::Vec<Tag>;

// Keeps the kN largest seen, in falling order.
template <size_t kN>
HWY_INLINE void Insert(Vec value, Vec* largest) {
  for (size_t i = 0; i < kN; ++i) {
    const Vec higher = hn::Max(largest[i], value);
    value = hn::Min(largest[i], value);
    largest[i] = higher;
  }
}

template <size_t kN>
void NthLargestOf(const uint16_t* const* columns, size_t count, size_t rows, uint16_t* out) {
  const Tag d;
  for (size_t r = 0; r < rows; r += hn::Lanes(d)) {
    Vec largest[kN];
    for (size_t i = 0; i < kN; ++i) largest[i] = hn::Zero(d);
    for (size_t c = 0; c < count; ++c) Insert<kN>(hn::Load(d, columns[c] + r), largest);
    hn::Store(largest[kN - 1], d, out + r);
  }
}

// Any N: the highest level that at least n elements reach, bit by bit from the top.
void NthLargestByBits(const uint16_t* const* columns, size_t count, size_t n, size_t rows,
                      uint16_t* out) {
  const Tag d;
  const Vec wanted = hn::Set(d, static_cast<uint16_t>(n));
  for (size_t r = 0; r < rows; r += hn::Lanes(d)) {
    Vec level = hn::Zero(d);
    for (int bit = 14; bit >= 0; --bit) {
      const Vec trial = hn::Or(level, hn::Set(d, static_cast<uint16_t>(1u << bit)));
      Vec reached = hn::Zero(d);
      for (size_t c = 0; c < count; ++c) {
        // x >= trial where min(x, trial) is trial; a mask is all ones, so subtracting counts.
        const Vec least = hn::Min(hn::Load(d, columns[c] + r), trial);
        reached = hn::Sub(reached, hn::VecFromMask(d, hn::Eq(least, trial)));
      }
      const auto enough = hn::Eq(hn::Min(reached, wanted), wanted);
      level = hn::IfThenElse(enough, trial, level);
    }
    hn::Store(level, d, out + r);
  }
}

void NthLargestKernel(const uint16_t* const* columns, size_t count, size_t n, size_t rows,
                      uint16_t* out) {
  if (n == 1) return NthLargestOf<1>(columns, count, rows, out);
  if (n == 2) return NthLargestOf<2>(columns, count, rows, out);
  if (n == 4) return NthLargestOf<4>(columns, count, rows, out);
  NthLargestByBits(columns, count, n, rows, out);
}

#if HWY_TARGET == HWY_SCALAR
void ColumnGainsKernel(const uint16_t* column, const uint16_t* levels, size_t count, size_t rows,
                       int64_t* gains) {
  ColumnGainsReference(column, levels, count, rows, gains);
}
#else
// A lane takes two differences below 2^15 from each 8 rows or more: 2^18 rows fit 32 bits.
constexpr size_t kRowsOfSum = size_t{1} << 18;

// kCount sums at once: each vector of the column is loaded once for all of them.
template <size_t kCount>
HWY_INLINE void AddGains(const uint16_t* column, const uint16_t* levels, size_t begin, size_t end,
                         size_t rows, int64_t* gains) {
  const Tag d;
  const hn::RebindToSigned<Tag> di;
  const hn::RepartitionToWide<decltype(di)> d32;
  const auto ones = hn::Set(di, int16_t{1});
  hn::Vec<decltype(d32)> low[kCount], high[kCount];
  for (size_t j = 0; j < kCount; ++j) low[j] = high[j] = hn::Zero(d32);
  for (size_t r = begin; r < end; r += hn::Lanes(d)) {
    const Vec x = hn::Load(d, column + r);
    for (size_t j = 0; j < kCount; ++j) {
      const Vec above = hn::SaturatedSub(x, hn::Load(d, levels + j * rows + r));
      low[j] = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(di, above), ones, low[j], high[j]);
    }
  }
  for (size_t j = 0; j < kCount; ++j) {
    // Lane by lane in 64 bits: their sum may need more than 32.
    HWY_ALIGN int32_t lanes[2 * hn::MaxLanes(d32)];
    const size_t count = hn::Lanes(d32);
    hn::Store(low[j], d32, lanes);
    hn::Store(high[j], d32, lanes + count);
    for (size_t i = 0; i < 2 * count; ++i) gains[j] += lanes[i];
  }
}

void ColumnGainsKernel(const uint16_t* column, const uint16_t* levels, size_t count, size_t rows,
                       int64_t* gains) {
  std::fill(gains, gains + count, int64_t{0});
  for (size_t begin = 0; begin < rows; begin += kRowsOfSum) {
    const size_t end = std::min(rows, begin + kRowsOfSum);
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
      AddGains<4>(column, levels + j * rows, begin, end, rows, gains + j);
    }
    for (; j < count; ++j) {
      AddGains<1>(column, levels + j * rows, begin, end, rows, gains + j);
    }
  }
}
#endif

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(NthLargestKernel);
HWY_EXPORT(ColumnGainsKernel);

void NthLargest(const std::uint16_t* const* columns, std::size_t count, std::size_t n,
                std::size_t rows, std::uint16_t* out) noexcept {
  HWY_DYNAMIC_DISPATCH(NthLargestKernel)(columns, count, n, rows, out);
}

void ColumnGains(const std::uint16_t* column, const std::uint16_t* levels, std::size_t count,
                 std::size_t rows, std::int64_t* gains) noexcept {
  HWY_DYNAMIC_DISPATCH(ColumnGainsKernel)(column, levels, count, rows, gains);
}

}  // namespace espalier
#endif  // HWY_ONCE
