#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/transposable_mask.cc"
#include "espalier/kernels/transposable_mask.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "espalier/pattern/transposable_masks.h"
#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A lane is a tile: a strip of 4 rows holds Lanes() tiles side by side.
using FloatTag = hn::CappedTag<float, 16>;
using BitsTag = hn::RebindToUnsigned<FloatTag>;
constexpr size_t kMaxLanes = hn::MaxLanes(FloatTag());
constexpr size_t kMaxStripCols = 4 * kMaxLanes;

// A mask of kTransposableMasks as the sums that it adds and the bits that it keeps.
struct TileMask {
  uint32_t kept;   // bit 4 * row + column
  uint32_t upper;  // 6 * (pair of row 0) + (pair of row 1)
  uint32_t lower;  // 6 * (pair of row 2) + (pair of row 3)
};

constexpr auto MakeTileMasks() {
  std::array<TileMask, kTransposableMasks.size()> masks = {};
  for (size_t i = 0; i < masks.size(); ++i) {
    const auto& pairs = kTransposableMasks[i];
    masks[i].upper = 6u * pairs[0] + pairs[1];
    masks[i].lower = 6u * pairs[2] + pairs[3];
    for (size_t row = 0; row < 4; ++row) {
      masks[i].kept |= static_cast<uint32_t>(kPairMasks[pairs[row]]) << (4 * row);
    }
  }
  return masks;
}
constexpr auto kTileMasks = MakeTileMasks();

// sums[6 * a + b] = (pair a of the first row) + (pair b of the second), one lane a tile.
void PairSums(const float* HWY_RESTRICT first_row, const float* HWY_RESTRICT second_row,
              float* HWY_RESTRICT sums) {
  const FloatTag d;
  using V = hn::Vec<FloatTag>;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float second[6 * kMaxLanes];
  V a, b, c, e;
  hn::LoadInterleaved4(d, second_row, a, b, c, e);
  a = hn::Abs(a), b = hn::Abs(b), c = hn::Abs(c), e = hn::Abs(e);
  hn::Store(hn::Add(a, b), d, second + 0 * lanes);
  hn::Store(hn::Add(a, c), d, second + 1 * lanes);
  hn::Store(hn::Add(a, e), d, second + 2 * lanes);
  hn::Store(hn::Add(b, c), d, second + 3 * lanes);
  hn::Store(hn::Add(b, e), d, second + 4 * lanes);
  hn::Store(hn::Add(c, e), d, second + 5 * lanes);
  hn::LoadInterleaved4(d, first_row, a, b, c, e);
  a = hn::Abs(a), b = hn::Abs(b), c = hn::Abs(c), e = hn::Abs(e);
  const V ab = hn::Add(a, b), ac = hn::Add(a, c), ae = hn::Add(a, e);
  const V bc = hn::Add(b, c), be = hn::Add(b, e), ce = hn::Add(c, e);
  for (size_t pair = 0; pair < 6; ++pair) {
    const V other = hn::Load(d, second + pair * lanes);
    float* HWY_RESTRICT to = sums + pair * lanes;
    hn::Store(hn::Add(ab, other), d, to);
    hn::Store(hn::Add(ac, other), d, to + 6 * lanes);
    hn::Store(hn::Add(ae, other), d, to + 12 * lanes);
    hn::Store(hn::Add(bc, other), d, to + 18 * lanes);
    hn::Store(hn::Add(be, other), d, to + 24 * lanes);
    hn::Store(hn::Add(ce, other), d, to + 30 * lanes);
  }
}

// TileMask::kept of the best mask of each tile of the strip: the first of the largest sum. The same
// additions in the same order as BestTransposableMask().
HWY_INLINE hn::Vec<BitsTag> BestKept(const float* const rows[4]) {
  const FloatTag d;
  const BitsTag du;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float upper[36 * kMaxLanes];
  HWY_ALIGN float lower[36 * kMaxLanes];
  PairSums(rows[0], rows[1], upper);
  PairSums(rows[2], rows[3], lower);
  auto best_sum = hn::Set(d, -1.0f);
  auto best = hn::Zero(du);
  for (const TileMask& mask : kTileMasks) {
    const auto sum =
        hn::Add(hn::Load(d, upper + mask.upper * lanes), hn::Load(d, lower + mask.lower * lanes));
    const auto better = hn::RebindMask(du, hn::Gt(sum, best_sum));
    best = hn::IfThenElse(better, hn::Set(du, mask.kept), best);
    best_sum = hn::Max(best_sum, sum);
  }
  return best;
}

// What to do with the chosen masks of a strip: both read the scores through `rows`.
struct WriteKeep {
  using Element = uint8_t;
  // A tile's row of four 0/1 bytes is one little-endian 32-bit lane.
  static HWY_INLINE void Apply(const float* const rows[4], uint8_t* const to[4]) {
    const BitsTag du;
    auto kept = BestKept(rows);
    const auto one = hn::Set(du, 1u);
    for (size_t row = 0; row < 4; ++row) {
      const auto c0 = hn::And(kept, one);
      const auto c1 = hn::And(hn::ShiftLeft<7>(kept), hn::Set(du, 0x100u));
      const auto c2 = hn::And(hn::ShiftLeft<14>(kept), hn::Set(du, 0x10000u));
      const auto c3 = hn::And(hn::ShiftLeft<21>(kept), hn::Set(du, 0x1000000u));
      HWY_ALIGN uint32_t words[kMaxLanes];
      hn::Store(hn::Or(hn::Or(c0, c1), hn::Or(c2, c3)), du, words);
      std::memcpy(to[row], words, 4 * hn::Lanes(du));
      kept = hn::ShiftRight<4>(kept);
    }
  }
};

struct ZeroDropped {
  using Element = float;
  static HWY_INLINE void Apply(const float* const rows[4], float* const to[4]) {
    const FloatTag d;
    const BitsTag du;
    auto kept = BestKept(rows);
    for (size_t row = 0; row < 4; ++row) {
      hn::Vec<FloatTag> a, b, c, e;
      hn::LoadInterleaved4(d, rows[row], a, b, c, e);
      a = hn::IfThenElseZero(hn::RebindMask(d, hn::TestBit(kept, hn::Set(du, 1u))), a);
      b = hn::IfThenElseZero(hn::RebindMask(d, hn::TestBit(kept, hn::Set(du, 2u))), b);
      c = hn::IfThenElseZero(hn::RebindMask(d, hn::TestBit(kept, hn::Set(du, 4u))), c);
      e = hn::IfThenElseZero(hn::RebindMask(d, hn::TestBit(kept, hn::Set(du, 8u))), e);
      hn::StoreInterleaved4(a, b, c, e, d, to[row]);
      kept = hn::ShiftRight<4>(kept);
    }
  }
};

// A strip that is cut by the last row or column: through copies padded with zeros.
template <class Action>
void ApplyToEdge(const float* values, size_t height, size_t width, size_t stride,
                 typename Action::Element* to) {
  HWY_ALIGN float padded[4][kMaxStripCols] = {};
  HWY_ALIGN typename Action::Element result[4][kMaxStripCols];
  for (size_t row = 0; row < height; ++row) {
    std::memcpy(padded[row], values + row * stride, width * sizeof(float));
  }
  const float* const rows[4] = {padded[0], padded[1], padded[2], padded[3]};
  typename Action::Element* const results[4] = {result[0], result[1], result[2], result[3]};
  Action::Apply(rows, results);
  for (size_t row = 0; row < height; ++row) {
    std::memcpy(to + row * stride, result[row], width * sizeof(result[0][0]));
  }
}

template <class Action>
void ApplyToMatrix(const float* values, size_t rows, size_t cols, size_t stride,
                   typename Action::Element* to) {
  const size_t strip_cols = 4 * hn::Lanes(FloatTag());
  for (size_t row = 0; row < rows; row += 4) {
    const float* const from_row = values + row * stride;
    typename Action::Element* const to_row = to + row * stride;
    const size_t height = std::min<size_t>(4, rows - row);
    size_t col = 0;
    for (; height == 4 && col + strip_cols <= cols; col += strip_cols) {
      const float* const from = from_row + col;
      typename Action::Element* const dest = to_row + col;
      const float* const strip[4] = {from, from + stride, from + 2 * stride, from + 3 * stride};
      typename Action::Element* const out[4] = {dest, dest + stride, dest + 2 * stride,
                                                dest + 3 * stride};
      Action::Apply(strip, out);
    }
    for (; col < cols; col += strip_cols) {
      ApplyToEdge<Action>(from_row + col, height, std::min(strip_cols, cols - col), stride,
                          to_row + col);
    }
  }
}

void MaskKernel(const float* scores, size_t rows, size_t cols, size_t stride, uint8_t* keep) {
  ApplyToMatrix<WriteKeep>(scores, rows, cols, stride, keep);
}

void PruneKernel(float* values, size_t rows, size_t cols) {
  ApplyToMatrix<ZeroDropped>(values, rows, cols, cols, values);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(MaskKernel);
HWY_EXPORT(PruneKernel);

void MaskTransposable24(const float* scores, std::size_t rows, std::size_t cols,
                        std::size_t row_stride, std::uint8_t* keep) noexcept {
  HWY_DYNAMIC_DISPATCH(MaskKernel)(scores, rows, cols, row_stride, keep);
}

void PruneTransposable24(float* values, std::size_t rows, std::size_t cols) noexcept {
  HWY_DYNAMIC_DISPATCH(PruneKernel)(values, rows, cols);
}

}  // namespace espalier
#endif  // HWY_ONCE
