#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/nm_mask.cc"
#include "espalier/kernels/nm_mask.h"

#include <algorithm>
#include <cstring>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// An element loses to a partner of larger magnitude, and to an equal one of lower index. It is kept
// if it loses fewer than n times. Inside a vector, the partners of lane i are the lanes i ^ x.

// At most kLimit lanes; a number known when compiling also where vectors have no fixed size.
template <typename T, size_t kLimit>
using LaneTag = hn::CappedTag<T, HWY_HAVE_SCALABLE ? std::min(kLimit, 16 / sizeof(T)) : kLimit>;

#if HWY_TARGET == HWY_SCALAR
// One lane: never called with partners.
template <size_t kX, class D, class V>
HWY_INLINE V XorLanes(D /*d*/, V v) {
  static_assert(kX == 0);
  return v;
}
#else
// Lane i receives lane i ^ kX. 16-bit lanes go by bytes inside a block of 16 bytes (one
// instruction, where Reverse2 is three), then by swapping the two blocks.
template <size_t kX, class D, class V>
HWY_INLINE V XorLanes(D d, V v) {
  if constexpr (kX == 0) {
    return v;
  } else if constexpr (sizeof(hn::TFromD<D>) == 2 && kX < 8) {
    const hn::Repartition<uint8_t, D> bytes;
    const auto in_block = hn::And(hn::Iota(bytes, uint8_t{0}), hn::Set(bytes, uint8_t{15}));
    const auto from = hn::Xor(in_block, hn::Set(bytes, uint8_t{2 * kX}));
    return hn::BitCast(d, hn::TableLookupBytes(hn::BitCast(bytes, v), from));
  } else if constexpr (kX == 1) {
    return hn::Reverse2(d, v);
  } else if constexpr (kX == 2) {
    const hn::RepartitionToWide<D> pairs;
    return hn::BitCast(d, hn::Reverse2(pairs, hn::BitCast(pairs, v)));
  } else if constexpr (kX == 3) {
    return hn::Reverse4(d, v);
  } else if constexpr (kX < 8) {
    return XorLanes<7 ^ kX>(d, hn::Reverse8(d, v));
  } else {
    static_assert(kX < 16 && hn::MaxLanes(D()) == 16, "the other half must be 8 lanes away");
    return XorLanes<8 ^ kX>(d, hn::ConcatLowerUpper(d, v, v));
  }
}
#endif

// Adds -1 for each x in [kX, kEnd) whose partner exceeds `bar`.
template <size_t kX, size_t kEnd, class D, class V>
HWY_INLINE V AddLosses(D d, V partners, V bar, V losses) {
  if constexpr (kX == kEnd) {
    return losses;
  } else {
    losses = hn::Add(losses, hn::VecFromMask(d, hn::Gt(XorLanes<kX>(d, partners), bar)));
    return AddLosses<kX + 1, kEnd>(d, partners, bar, losses);
  }
}

// The same within groups of kGroup lanes. For x in [kBit, 2 * kBit) the partner has the lower index
// if and only if bit kBit of the lane is set; there the bar is one less, so that a tie is a loss.
template <size_t kBit, size_t kGroup, class D, class V>
HWY_INLINE V AddOwnLosses(D d, V keys, V losses) {
  if constexpr (kBit >= kGroup) {
    return losses;
  } else {
    using T = hn::TFromD<D>;
    const V bit = hn::Set(d, static_cast<T>(kBit));
    const V tie_loses = hn::VecFromMask(d, hn::TestBit(hn::Iota(d, T{0}), bit));
    losses = AddLosses<kBit, 2 * kBit>(d, keys, hn::Add(keys, tie_loses), losses);
    return AddOwnLosses<2 * kBit, kGroup>(d, keys, losses);
  }
}

template <class D, class V>
HWY_INLINE V MagnitudeKeys(D d, V bits) {
  return hn::And(bits, hn::Set(d, hwy::LimitsMax<hn::TFromD<D>>()));
}

// Prunes a vector of whole groups of kGroup lanes.
template <size_t kGroup, class D, class V>
HWY_INLINE V PruneVector(D d, V bits, V minus_n) {
  const V losses = AddOwnLosses<1, kGroup>(d, MagnitudeKeys(d, bits), hn::Zero(d));
  return hn::And(bits, hn::VecFromMask(d, hn::Gt(losses, minus_n)));
}

// kGroup a power of two that fits a vector. The rest behind the last whole vector goes through a
// copy padded with zeros, which also completes a short last group.
template <size_t kGroup, typename T>
void PruneRunInVectors(T* HWY_RESTRICT bits, size_t count, size_t n, size_t /*m*/) {
  const LaneTag<T, (kGroup < 16 ? 64 : 16)> d;
  const size_t lanes = hn::Lanes(d);
  const auto minus_n = hn::Set(d, static_cast<T>(-static_cast<int>(n)));
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(PruneVector<kGroup>(d, hn::LoadU(d, bits + i), minus_n), d, bits + i);
  }
  if (i == count) return;
  HWY_ALIGN T rest[hn::MaxLanes(d)] = {};
  std::memcpy(rest, bits + i, (count - i) * sizeof(T));
  hn::Store(PruneVector<kGroup>(d, hn::Load(d, rest), minus_n), d, rest);
  std::memcpy(bits + i, rest, (count - i) * sizeof(T));
}

// Up to 16 lanes that start at a group. `padding` is -1, which loses to everything, behind a group.
template <class D, typename T>
HWY_INLINE hn::Vec<D> PaddedKeys(D d, hn::Vec<D> bits, const T* HWY_RESTRICT padding) {
  return hn::Or(MagnitudeKeys(d, bits), hn::Load(d, padding));
}

// Prunes one group of up to kPadded elements, read and written as kPadded. What is written behind
// the group is meaningless.
template <size_t kPadded, typename T>
HWY_INLINE void PrunePaddedGroup(const T* HWY_RESTRICT from, T* HWY_RESTRICT to,
                                 const T* HWY_RESTRICT padding, size_t n) {
  const LaneTag<T, kPadded> d;
  using V = hn::Vec<decltype(d)>;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const V minus_n = hn::Set(d, static_cast<T>(-static_cast<int>(n)));
  for (size_t a = 0; a < kPadded; a += kLanes) {
    const V bits = hn::LoadU(d, from + a);
    const V keys = PaddedKeys(d, bits, padding + a);
    V losses = AddOwnLosses<1, kLanes>(d, keys, hn::Zero(d));
    for (size_t b = 0; b < kPadded; b += kLanes) {
      if (b == a) continue;
      const V others = PaddedKeys(d, hn::LoadU(d, from + b), padding + b);
      const V bar = b < a ? hn::Sub(keys, hn::Set(d, T{1})) : keys;
      losses = AddLosses<0, kLanes>(d, others, bar, losses);
    }
    hn::StoreU(hn::And(bits, hn::VecFromMask(d, hn::Gt(losses, minus_n))), d, to + a);
  }
}

template <size_t kGroup, typename T>
constexpr bool FitsVector() {
  return kGroup <= hn::MaxLanes(LaneTag<T, 16>());
}

// Prunes two neighbouring groups of m: in one vector where both fit.
template <size_t kPadded, typename T>
HWY_INLINE void PrunePaddedPair(const T* HWY_RESTRICT from, T* HWY_RESTRICT to,
                                const T* HWY_RESTRICT padding, size_t n, size_t m) {
#if HWY_TARGET != HWY_SCALAR  // which has no Combine
  if constexpr (FitsVector<2 * kPadded, T>()) {
    const LaneTag<T, 2 * kPadded> d;
    const hn::Half<decltype(d)> dh;
    const auto bits = hn::Combine(d, hn::LoadU(dh, from + m), hn::LoadU(dh, from));
    const auto keys = PaddedKeys(d, bits, padding);
    const auto losses = AddOwnLosses<1, kPadded>(d, keys, hn::Zero(d));
    const auto kept = hn::Gt(losses, hn::Set(d, static_cast<T>(-static_cast<int>(n))));
    const auto pruned = hn::And(bits, hn::VecFromMask(d, kept));
    hn::StoreU(hn::LowerHalf(dh, pruned), dh, to);
    hn::StoreU(hn::UpperHalf(dh, pruned), dh, to + m);
    return;
  }
#endif
  PrunePaddedGroup<kPadded>(from, to, padding, n);
  PrunePaddedGroup<kPadded>(from + m, to + m, padding, n);
}

// Any m <= kPadded. Each group is written to a scratch tile with its padding, which the next group
// overwrites; writing in place would make each load wait for the overlapping store before it.
template <size_t kPadded, typename T>
void PruneRunInTiles(T* HWY_RESTRICT bits, size_t count, size_t n, size_t m) {
  constexpr size_t kGroups = 64;  // 4 KiB of scratch at most: stays in L1 with its source
  constexpr size_t kOverhang = 2 * kPadded;
  HWY_ALIGN T padding[2 * kPadded] = {};
  for (size_t lane = m; lane < kPadded; ++lane) padding[lane] = padding[kPadded + lane] = T{-1};
  HWY_ALIGN T pruned[kGroups * kPadded + kOverhang];
  size_t i = 0;
  for (; i + kGroups * m + kPadded <= count; i += kGroups * m) {
    for (size_t group = 0; group < kGroups; group += 2) {
      PrunePaddedPair<kPadded>(bits + i + group * m, pruned + group * m, padding, n, m);
    }
    std::memcpy(bits + i, pruned, kGroups * m * sizeof(T));
  }
  // What is left (less than a tile and a group) is read from a copy with room for the padding.
  HWY_ALIGN T rest[kGroups * kPadded + kOverhang];
  while (i < count) {
    const size_t left = std::min(count - i, kGroups * m);
    std::memcpy(rest, bits + i, left * sizeof(T));
    std::fill(rest + left, rest + left + kOverhang, T{0});
    for (size_t at = 0; at < left; at += 2 * m) {
      PrunePaddedPair<kPadded>(rest + at, pruned + at, padding, n, m);
    }
    std::memcpy(bits + i, pruned, left * sizeof(T));
    i += left;
  }
}

template <typename T>
using PruneRun = void (*)(T*, size_t, size_t, size_t);

template <typename T>
PruneRun<T> ChooseRun(size_t m) {
  if constexpr (FitsVector<4, T>()) {  // not where a vector is one lane (HWY_SCALAR)
    if (m == 2) return &PruneRunInVectors<2, T>;
    if (m == 4) return &PruneRunInVectors<4, T>;
  }
  if constexpr (FitsVector<8, T>()) {
    if (m == 8) return &PruneRunInVectors<8, T>;
  }
  if constexpr (FitsVector<16, T>()) {
    if (m == 16) return &PruneRunInVectors<16, T>;
  }
  if (m <= 4) return &PruneRunInTiles<4, T>;
  return m <= 8 ? &PruneRunInTiles<8, T> : &PruneRunInTiles<16, T>;
}

template <typename T>
void PruneMatrix(T* bits, size_t rows, size_t cols, size_t n, size_t m) {
  const PruneRun<T> run = ChooseRun<T>(m);
  if (cols % m == 0) {
    run(bits, rows * cols, n, m);
    return;
  }
  for (size_t row = 0; row < rows; ++row) run(bits + row * cols, cols, n, m);
}

// Signed lanes: keys are below 2^15 or 2^31, and -1 is below all of them.
void PruneNm32(uint32_t* bits, size_t rows, size_t cols, size_t n, size_t m) {
  PruneMatrix(reinterpret_cast<int32_t*>(bits), rows, cols, n, m);
}

void PruneNm16(uint16_t* bits, size_t rows, size_t cols, size_t n, size_t m) {
  PruneMatrix(reinterpret_cast<int16_t*>(bits), rows, cols, n, m);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(PruneNm32);
HWY_EXPORT(PruneNm16);

void PruneNm(std::uint32_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
             std::size_t m) noexcept {
  if (n < m) HWY_DYNAMIC_DISPATCH(PruneNm32)(bits, rows, cols, n, m);
}

void PruneNm(std::uint16_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
             std::size_t m) noexcept {
  if (n < m) HWY_DYNAMIC_DISPATCH(PruneNm16)(bits, rows, cols, n, m);
}

}  // namespace espalier
#endif  // HWY_ONCE
