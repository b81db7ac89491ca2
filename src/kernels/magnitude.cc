#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/magnitude.cc"
#include "espalier/kernels/magnitude.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ---------------------------------------------------------------- Sums

// The 16 lanes of the sum, as vectors; 4 lanes each where vectors have no fixed size.
using SumTag = hn::CappedTag<float, HWY_HAVE_SCALABLE ? 4 : 16>;
using KeyTag = hn::RebindToSigned<SumTag>;
constexpr size_t kSumLanes = hn::MaxLanes(SumTag());
constexpr size_t kAtOnce = std::min<size_t>(4, 16 / kSumLanes);  // 16 vectors with HWY_SCALAR
constexpr size_t kBlock = 4096;

// How each type is read: its magnitude bits as int32 lanes, and their float32 value. From kInfinity
// on, a key is no finite number.
struct Float32Source {
  using Element = float;
  static constexpr int32_t kInfinity = 0x7F800000;
  static HWY_INLINE hn::Vec<KeyTag> Keys(const float* values) {
    const KeyTag di;
    return hn::And(hn::BitCast(di, hn::LoadU(SumTag(), values)), hn::Set(di, 0x7FFFFFFF));
  }
  static HWY_INLINE hn::Vec<SumTag> Value(hn::Vec<KeyTag> keys) {
    return hn::BitCast(SumTag(), keys);
  }
};

struct BFloat16Source {
  using Element = uint16_t;
  static constexpr int32_t kInfinity = 0x7F80;
  static HWY_INLINE hn::Vec<KeyTag> Keys(const uint16_t* bits) {
    const KeyTag di;
    const auto widened = hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint16_t, KeyTag>(), bits));
    return hn::And(widened, hn::Set(di, 0x7FFF));
  }
  static HWY_INLINE hn::Vec<SumTag> Value(hn::Vec<KeyTag> keys) {
    return hn::BitCast(SumTag(), hn::ShiftLeft<16>(keys));
  }
};

struct HalfSource {
  using Element = uint16_t;
  static constexpr int32_t kInfinity = 0x7C00;
  static HWY_INLINE hn::Vec<KeyTag> Keys(const uint16_t* bits) {
    return BFloat16Source::Keys(bits);
  }
  // In integers, since not every ISA converts: move the exponent's bias from 15 to 127; a subnormal
  // is its fraction times 2^-24. Both are exact.
  static HWY_INLINE hn::Vec<SumTag> Value(hn::Vec<KeyTag> keys) {
    const SumTag d;
    const KeyTag di;
    const auto normal =
        hn::BitCast(d, hn::Add(hn::ShiftLeft<13>(keys), hn::Set(di, (127 - 15) << 23)));
    const auto subnormal = hn::Mul(hn::ConvertTo(d, keys), hn::Set(d, 0x1p-24f));
    return hn::IfThenElse(hn::RebindMask(d, hn::Lt(keys, hn::Set(di, 0x400))), subnormal, normal);
  }
};

// Adds a multiple of 16 elements to the 16 lanes, `kAtOnce` vectors of them in one pass.
template <class Source>
HWY_INLINE void MeasureBlock(const typename Source::Element* HWY_RESTRICT values, size_t count,
                             float* HWY_RESTRICT lane_sums, uint64_t& zeros, int32_t& largest) {
  const SumTag d;
  const KeyTag di;
  auto minus_zeros = hn::Zero(di), max = minus_zeros;
  const auto add = [&](size_t at, hn::Vec<SumTag>& sum) HWY_ATTR {
    const auto keys = Source::Keys(values + at);
    sum = hn::Add(sum, Source::Value(keys));
    minus_zeros = hn::Add(minus_zeros, hn::VecFromMask(di, hn::Eq(keys, hn::Zero(di))));
    max = hn::Max(max, keys);
  };
  for (size_t lane = 0; lane < 16; lane += kAtOnce * kSumLanes) {
    float* HWY_RESTRICT sums = lane_sums + lane;
    auto sum0 = hn::Load(d, sums), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    if constexpr (kAtOnce > 1) sum1 = hn::Load(d, sums + kSumLanes);
    if constexpr (kAtOnce > 2) sum2 = hn::Load(d, sums + 2 * kSumLanes);
    if constexpr (kAtOnce > 2) sum3 = hn::Load(d, sums + 3 * kSumLanes);
    for (size_t i = lane; i < count; i += 16) {
      add(i, sum0);
      if constexpr (kAtOnce > 1) add(i + kSumLanes, sum1);
      if constexpr (kAtOnce > 2) add(i + 2 * kSumLanes, sum2);
      if constexpr (kAtOnce > 2) add(i + 3 * kSumLanes, sum3);
    }
    hn::Store(sum0, d, sums);
    if constexpr (kAtOnce > 1) hn::Store(sum1, d, sums + kSumLanes);
    if constexpr (kAtOnce > 2) hn::Store(sum2, d, sums + 2 * kSumLanes);
    if constexpr (kAtOnce > 2) hn::Store(sum3, d, sums + 3 * kSumLanes);
  }
  zeros += static_cast<uint64_t>(-int64_t{hn::GetLane(hn::SumOfLanes(di, minus_zeros))});
  largest = std::max(largest, hn::GetLane(hn::MaxOfLanes(di, max)));
}

template <class Source>
MagnitudeStats Measure(const typename Source::Element* values, size_t count) {
  MagnitudeStats stats;
  int32_t largest = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    const size_t whole = length - length % 16;
    HWY_ALIGN float lanes[16] = {};
    MeasureBlock<Source>(values + begin, whole, lanes, stats.zeros, largest);
    if (whole != length) {  // only in the last block; a padding zero adds nothing to its lane
      HWY_ALIGN typename Source::Element rest[16] = {};
      std::memcpy(rest, values + begin + whole, (length - whole) * sizeof(rest[0]));
      MeasureBlock<Source>(rest, 16, lanes, stats.zeros, largest);
      stats.zeros -= 16 - (length - whole);
    }
    double block_sum = 0;
    for (const float lane : lanes) block_sum += lane;
    stats.sum += block_sum;
  }
  stats.finite = largest < Source::kInfinity;
  if (!stats.finite) stats.sum = 0;
  return stats;
}

MagnitudeStats MeasureFloat32(const float* values, size_t count) {
  return Measure<Float32Source>(values, count);
}
MagnitudeStats MeasureHalf(const uint16_t* bits, size_t count) {
  return Measure<HalfSource>(bits, count);
}
MagnitudeStats MeasureBFloat16(const uint16_t* bits, size_t count) {
  return Measure<BFloat16Source>(bits, count);
}

// ---------------------------------------------------------------- Selection

constexpr uint32_t kKeyBits = 0x7FFFFFFF;

// Lanes() is known when compiling: 4 where vectors have no fixed size.
using BitsTag = hn::CappedTag<uint32_t, HWY_HAVE_SCALABLE ? 4 : 16>;
constexpr size_t kBitsLanes = hn::MaxLanes(BitsTag());
constexpr size_t kBatch = 64;

// One digit of a key: 11 bits from kShift on, or the last 9. The prefix is what lies above it.
template <int kShift>
struct Digit {
  static constexpr uint32_t kMask = kShift == 0 ? 511 : 2047;
  static constexpr int kPrefixShift = kShift == 0 ? 9 : kShift + 11;
  static size_t Of(uint32_t bits) { return (bits >> kShift) & kMask; }
};

// Four tables of 8 KiB in turn, since neighbours often share a bin and would wait for each other's
// store. A cache line behind the bins, so that equal digits of two tables are not 4 KiB apart: a
// load also waits for an unfinished store whose address has the same low 12 bits.
class BinCounts {
 public:
  static constexpr size_t kUnused = 2048;

  void Add(size_t table, size_t bin) { ++tables_[table][bin]; }

  void AddTo(uint64_t* HWY_RESTRICT histogram, size_t bins) const {
    for (size_t bin = 0; bin < bins; ++bin) {
      histogram[bin] +=
          uint64_t{tables_[0][bin]} + tables_[1][bin] + tables_[2][bin] + tables_[3][bin];
    }
  }

 private:
  uint32_t tables_[4][kUnused + 16] = {};
};

template <int kShift>
void CountAll(const uint32_t* HWY_RESTRICT bits, size_t count, BinCounts& counts) {
  for (size_t i = 0; i + 4 <= count; i += 4) {
    for (size_t table = 0; table < 4; ++table)
      counts.Add(table, Digit<kShift>::Of(bits[i + table]));
  }
  for (size_t left = count % 4; left > 0; --left) {
    counts.Add(0, Digit<kShift>::Of(bits[count - left]));
  }
}

template <int kShift>
HWY_INLINE hn::Mask<BitsTag> Matching(hn::Vec<BitsTag> bits, uint32_t prefix) {
  const BitsTag d;
  const auto keys = hn::And(bits, hn::Set(d, kKeyBits));
  return hn::Eq(hn::ShiftRight<Digit<kShift>::kPrefixShift>(keys), hn::Set(d, prefix));
}

// Bit i is set if element i of the batch has the prefix. (Not hn::Compress: GCC 12 copies its table
// of 1 KiB to the stack each time.)
template <int kShift>
HWY_INLINE uint64_t MatchBits(const uint32_t* HWY_RESTRICT bits, uint32_t prefix) {
  const BitsTag d;
  uint64_t matches = 0;
  for (size_t i = 0; i < kBatch; i += kBitsLanes) {
    uint8_t mask[8] = {};
    hn::StoreMaskBits(d, Matching<kShift>(hn::LoadU(d, bits + i), prefix), mask);
    matches |= uint64_t{mask[0]} << i;
    if constexpr (kBitsLanes > 8) matches |= uint64_t{mask[1]} << (i + 8);
  }
  return matches;
}

// For a batch of which many match: the others are counted too, in bins of no use. The same work
// whatever the bits, so that there is no branch to guess.
template <int kShift>
HWY_INLINE void CountBatch(const uint32_t* HWY_RESTRICT bits, uint32_t prefix, BinCounts& counts) {
  const BitsTag d;
  const auto unused = hn::Iota(d, uint32_t{BinCounts::kUnused});
  HWY_ALIGN uint32_t bins[kBatch];
  for (size_t i = 0; i < kBatch; i += kBitsLanes) {
    const auto v = hn::LoadU(d, bits + i);
    const auto digit = hn::And(hn::ShiftRight<kShift>(v), hn::Set(d, Digit<kShift>::kMask));
    hn::Store(hn::IfThenElse(Matching<kShift>(v, prefix), digit, unused), d, bins + i);
  }
  for (size_t i = 0; i < kBatch; i += 4) {
    for (size_t table = 0; table < 4; ++table) counts.Add(table, bins[i + table]);
  }
}

template <int kShift>
void CountMatching(const uint32_t* HWY_RESTRICT bits, size_t count, uint32_t prefix,
                   BinCounts& counts) {
  constexpr int kMany = 12;  // one by one costs about 5 times as much as in a batch
  size_t i = 0;
  for (; i + kBatch <= count; i += kBatch) {
    uint64_t matches = MatchBits<kShift>(bits + i, prefix);
    if (std::popcount(matches) > kMany) {
      CountBatch<kShift>(bits + i, prefix, counts);
      continue;
    }
    for (; matches != 0; matches &= matches - 1) {
      const auto at = static_cast<size_t>(std::countr_zero(matches));
      counts.Add(at % 4, Digit<kShift>::Of(bits[i + at]));
    }
  }
  for (; i < count; ++i) {
    const uint32_t key = bits[i] & kKeyBits;
    if (key >> Digit<kShift>::kPrefixShift == prefix) counts.Add(0, Digit<kShift>::Of(key));
  }
}

void KeyHistogramKernel(const uint32_t* bits, size_t count, int shift, uint32_t prefix,
                        uint64_t* histogram) {
  constexpr size_t kPiece = size_t{1} << 31;  // below the range of a 32-bit count
  for (size_t begin = 0; begin < count; begin += kPiece) {
    const size_t length = std::min(kPiece, count - begin);
    BinCounts counts;
    if (shift == 9) {
      CountMatching<9>(bits + begin, length, prefix, counts);
    } else if (shift == 0) {
      CountMatching<0>(bits + begin, length, prefix, counts);
    } else if (prefix == 0) {  // shift 20: the digit is all that is left of a key
      CountAll<20>(bits + begin, length, counts);
    }
    counts.AddTo(histogram, shift == 0 ? 512 : 2048);
  }
}

HWY_INLINE uint32_t KeptOf(uint32_t bits, uint32_t threshold, uint64_t& ties) {
  const uint32_t key = bits & kKeyBits;
  if (key > threshold) return bits;
  if (key < threshold || ties == 0) return 0;
  --ties;
  return bits;
}

void PruneBelowKernel(uint32_t* HWY_RESTRICT bits, size_t count, uint32_t threshold,
                      uint64_t* ties_kept) {
  const hn::ScalableTag<int32_t> d;
  const size_t lanes = hn::Lanes(d);
  int32_t* HWY_RESTRICT signed_bits = reinterpret_cast<int32_t*>(bits);
  const auto bar = hn::Set(d, static_cast<int32_t>(threshold));
  const auto key_bits = hn::Set(d, static_cast<int32_t>(kKeyBits));
  uint64_t ties = *ties_kept;
  size_t i = 0;
  // Ties are kept as long as there are enough for a whole vector; the one vector where they run out
  // goes one by one, and from there on ties are dropped.
  while (ties > 0 && i + lanes <= count) {
    const auto v = hn::LoadU(d, signed_bits + i);
    const auto keys = hn::And(v, key_bits);
    const size_t equal = hn::CountTrue(d, hn::Eq(keys, bar));
    if (equal > ties) {
      for (size_t end = i + lanes; i < end; ++i) bits[i] = KeptOf(bits[i], threshold, ties);
      break;
    }
    ties -= equal;
    hn::StoreU(hn::IfThenZeroElse(hn::Lt(keys, bar), v), d, signed_bits + i);
    i += lanes;
  }
  if (ties == 0) {
    for (; i + lanes <= count; i += lanes) {
      const auto v = hn::LoadU(d, signed_bits + i);
      hn::StoreU(hn::IfThenElseZero(hn::Gt(hn::And(v, key_bits), bar), v), d, signed_bits + i);
    }
  }
  for (; i < count; ++i) bits[i] = KeptOf(bits[i], threshold, ties);
  *ties_kept = ties;
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(MeasureFloat32);
HWY_EXPORT(MeasureHalf);
HWY_EXPORT(MeasureBFloat16);
HWY_EXPORT(KeyHistogramKernel);
HWY_EXPORT(PruneBelowKernel);

MagnitudeStats MeasureMagnitudes(const float* values, std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(MeasureFloat32)(values, count);
}

MagnitudeStats MeasureHalfMagnitudes(const std::uint16_t* bits, std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(MeasureHalf)(bits, count);
}

MagnitudeStats MeasureBFloat16Magnitudes(const std::uint16_t* bits, std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(MeasureBFloat16)(bits, count);
}

void AddKeyHistogram(const std::uint32_t* bits, std::size_t count, int shift, std::uint32_t prefix,
                     std::uint64_t* histogram) noexcept {
  HWY_DYNAMIC_DISPATCH(KeyHistogramKernel)(bits, count, shift, prefix, histogram);
}

void PruneBelow(std::uint32_t* bits, std::size_t count, std::uint32_t threshold,
                std::uint64_t* ties_kept) noexcept {
  HWY_DYNAMIC_DISPATCH(PruneBelowKernel)(bits, count, threshold, ties_kept);
}

}  // namespace espalier
#endif  // HWY_ONCE
