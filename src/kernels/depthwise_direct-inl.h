// 3x3 and 5x5 kernels straight from the input planes; included once per target, after
// hwy/highway.h.
#if defined(ESPALIER_KERNELS_DEPTHWISE_DIRECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_KERNELS_DEPTHWISE_DIRECT_INL_H_
#undef ESPALIER_KERNELS_DEPTHWISE_DIRECT_INL_H_
#else
#define ESPALIER_KERNELS_DEPTHWISE_DIRECT_INL_H_
#endif

#include <algorithm>
#include <array>
#include <utility>

#include "espalier/kernels/depthwise.h"
#include "hwy/highway.h"
#include "kernels/depthwise_tile-inl.h"

// Needs arrays of vectors and swaps of neighbouring lanes.
#undef ESPALIER_DEPTHWISE_DIRECT
#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
#define ESPALIER_DEPTHWISE_DIRECT 0
#else
#define ESPALIER_DEPTHWISE_DIRECT 1
#endif

#if ESPALIER_DEPTHWISE_DIRECT

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kDirectColumns = 512;  // outputs in a block
inline constexpr size_t kDirectMaxPad = 16;
// Columns that the last vectors read behind the block's inputs: up to two vectors of 16, beside the
// kernel's own.
inline constexpr size_t kDirectSlack = kDirectMaxPad + 2 * kDepthwiseMaxLanes + 8;
inline constexpr size_t kDirectRow = kDirectMaxPad + 2 * kDirectColumns + kDirectSlack;

// What rows of padding read.
alignas(64) inline constexpr float kZeroRow[kDirectRow] = {};

// A plane, or a stripe of its rows, and what becomes of its sums.
struct DirectPlane {
  DepthwiseStripe out;                     // `packed` is not used
  const float* x = nullptr;                // row `rows_begin` of the image
  ptrdiff_t rows_begin = 0, rows_end = 0;  // the rows at hand
  ptrdiff_t first_row = 0;                 // what the first output row reads first
  ptrdiff_t pad_left = 0;
  ptrdiff_t in_w = 0;
  size_t col_begin = 0, width = 0;  // the block of output columns
  // Vectors at a row's borders read beyond it, into the rows and planes beside it; what they find
  // there is masked. Nothing outside of these two is read.
  const float* readable_begin = nullptr;
  const float* readable_end = nullptr;
  // Which lanes of each load lie in the image, for the first and for the last vector of a row: see
  // FillMasks.
  const float* first_masks = nullptr;
  const float* last_masks = nullptr;
};

// Copies of rows whose borders lie at the end of what is readable. Rows of 64 columns or more are
// wider than what is read beside them, so that only the first and the last one are copied.
struct DirectCopies {
  static constexpr size_t kFloats = std::max(2 * kDirectRow, size_t{12} * (64 + 2 * kDirectSlack));
  float floats[kFloats];
  size_t used = 0;
};

// Where to read columns [begin, end) of an image row, counted from `row`, of which those of
// [inside_begin, inside_end) are in the image.
inline const float* CopyRow(const float* row, ptrdiff_t begin, ptrdiff_t end,
                            ptrdiff_t inside_begin, ptrdiff_t inside_end, DirectCopies& copies) {
  float* to = copies.floats + copies.used;
  copies.used += static_cast<size_t>(end - begin);
  for (ptrdiff_t q = begin; q < end; ++q) {
    to[q - begin] = q >= inside_begin && q < inside_end ? row[q] : 0.0f;
  }
  return to - begin;
}

// GCC would load the vector from memory again for each use.
template <class V>
HWY_INLINE void KeepInRegister([[maybe_unused]] V& v) {
#if HWY_ARCH_X86 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm("" : "+v"(v.raw));
#endif
}

// Adds a vector of input row kInput of a tile to the sums of the output rows that read it.
template <int kSize, int kStride, int kInput, size_t... kRow, class V>
HWY_INLINE void AddInputRow(const V* w, V input, V* sums, std::index_sequence<kRow...>) {
  const auto add = [&](auto row) HWY_ATTR {
    constexpr int kTap = kInput - static_cast<int>(row()) * kStride;
    if constexpr (kTap >= 0 && kTap < kSize) {
      sums[row()] = hn::MulAdd(w[kTap], input, sums[row()]);
    }
  };
  (add(std::integral_constant<size_t, kRow>()), ...);
}

// All inputs are masked, also where all lanes are inside: an AND of a load costs next to nothing
// beside the FMAs, a branch or a second loop would.
template <class D>
HWY_INLINE hn::Vec<D> LoadColumns(D d, const float* HWY_RESTRICT from, hn::Vec<D> mask) {
  auto v = hn::And(mask, hn::LoadU(d, from));
  KeepInRegister(v);
  return v;
}

// Masks of one vector of outputs: those of its loads for kernel columns 0, 1 ... of stride 1, or
// for 0, 2 and 4 of stride 2, where each load is one of two vectors.
inline constexpr size_t kMaskFloats = 6 * kDepthwiseMaxLanes;

// The bits of lanes at image column `col` and on, if that is inside.
template <class D>
HWY_INLINE hn::Vec<D> InsideMask(D d, hn::Vec<hn::RebindToSigned<D>> lane, ptrdiff_t col,
                                 ptrdiff_t in_w) {
  const hn::RebindToSigned<D> di;
  const auto cols = hn::Add(lane, hn::Set(di, static_cast<int32_t>(col)));
  const auto width = hn::Set(di, static_cast<int32_t>(in_w));
  return hn::BitCast(
      d, hn::VecFromMask(di, hn::And(hn::Gt(cols, hn::Set(di, -1)), hn::Lt(cols, width))));
}

// `col`: image column of kernel column 0 for the first lane.
template <int kSize, int kStride, class D>
HWY_NOINLINE void FillMasks(D d, ptrdiff_t col, ptrdiff_t in_w, float* HWY_RESTRICT masks) {
  const auto lane = hn::Iota(hn::RebindToSigned<D>(), 0);
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (int kx = 0; kx < kSize; kx += kStride) {
    for (ptrdiff_t part = 0; part < kStride; ++part, masks += lanes) {
      hn::Store(InsideMask(d, lane, col + kx + part * lanes, in_w), d, masks);
    }
  }
}

alignas(64) inline constexpr auto kNoMask = [] {
  std::array<uint32_t, kMaskFloats> ones = {};
  for (uint32_t& bits : ones) bits = ~0u;
  return ones;
}();

template <int kSize, class D>
HWY_INLINE void LoadWeightColumn(D d, const float* HWY_RESTRICT weights, int kx, hn::Vec<D>* w) {
  for (int ky = 0; ky < kSize; ++ky) w[ky] = hn::Set(d, weights[ky * kSize + kx]);
}

// Stride 1: adds kernel column kx of all input rows to the sums of a tile.
template <int kSize, int kRows, class D, class V, size_t... kInput>
HWY_INLINE void AddColumn(D d, const float* const* rows, ptrdiff_t q, V mask, const V* w, V* sums,
                          std::index_sequence<kInput...>) {
  const auto add = [&](auto row) HWY_ATTR {
    const auto input = LoadColumns(d, rows[row()] + q, mask);
    AddInputRow<kSize, 1, row()>(w, input, sums, std::make_index_sequence<kRows>());
  };
  (add(std::integral_constant<int, kInput>()), ...);
}

// Stride 2: columns kx and kx + 1. Of two vectors A and B side by side, the even lanes are what
// column kx sees and the odd ones what kx + 1 does. They are kept as A0 B0 A2 B2 ..., which is put
// in order once a sum is complete.
template <int kSize, int kRows, bool kBoth, class D, class V, size_t... kInput>
HWY_INLINE void AddTwoColumns(D d, const float* const* rows, ptrdiff_t q, V mask_a, V mask_b,
                              const V* w0, const V* w1, V* sums, std::index_sequence<kInput...>) {
  const auto add = [&](auto row) HWY_ATTR {
    const float* from = rows[row()] + q;
    const auto a = LoadColumns(d, from, mask_a);
    const auto b = LoadColumns(d, from + hn::Lanes(d), mask_b);
    auto even = hn::OddEven(hn::Shuffle2301(b), a);
    KeepInRegister(even);
    AddInputRow<kSize, 2, row()>(w0, even, sums, std::make_index_sequence<kRows>());
    if constexpr (kBoth) {
      auto odd = hn::OddEven(b, hn::Shuffle2301(a));
      KeepInRegister(odd);
      AddInputRow<kSize, 2, row()>(w1, odd, sums, std::make_index_sequence<kRows>());
    }
  };
  (add(std::integral_constant<int, kInput>()), ...);
}

// All of the kernel for one vector of outputs in kRows rows. q is the column of kernel column 0, as
// the row pointers count.
template <int kSize, int kRows, class D, class V>
HWY_INLINE void SumVector(D d, const float* const* rows, ptrdiff_t q,
                          const float* HWY_RESTRICT masks, const float* HWY_RESTRICT weights,
                          V* sums, std::integral_constant<int, 1> /*stride*/) {
  constexpr auto kInputs = std::make_index_sequence<kRows - 1 + kSize>();
  V w[kSize];
  for (int kx = 0; kx < kSize; ++kx, ++q, masks += hn::Lanes(d)) {
    LoadWeightColumn<kSize>(d, weights, kx, w);
    AddColumn<kSize, kRows>(d, rows, q, hn::Load(d, masks), w, sums, kInputs);
  }
}

template <int kSize, int kRows, class D, class V>
HWY_INLINE void SumVector(D d, const float* const* rows, ptrdiff_t q,
                          const float* HWY_RESTRICT masks, const float* HWY_RESTRICT weights,
                          V* sums, std::integral_constant<int, 2> /*stride*/) {
  constexpr auto kInputs = std::make_index_sequence<2 * (kRows - 1) + kSize>();
  V w0[kSize], w1[kSize];
  for (int kx = 0; kx < kSize; kx += 2, q += 2, masks += 2 * hn::Lanes(d)) {
    const V mask_a = hn::Load(d, masks), mask_b = hn::Load(d, masks + hn::Lanes(d));
    LoadWeightColumn<kSize>(d, weights, kx, w0);
    if (kx + 1 < kSize) {
      LoadWeightColumn<kSize>(d, weights, kx + 1, w1);
      AddTwoColumns<kSize, kRows, true>(d, rows, q, mask_a, mask_b, w0, w1, sums, kInputs);
    } else {
      AddTwoColumns<kSize, kRows, false>(d, rows, q, mask_a, mask_b, w0, w0, sums, kInputs);
    }
  }
}

template <class D, class V, size_t... kRow>
HWY_INLINE void SortLanes(D d, V* sums, std::index_sequence<kRow...>) {
  const hn::RebindToSigned<D> di;
  const auto half = static_cast<int32_t>(hn::Lanes(d) / 2);
  const auto lane = hn::Iota(di, 0);
  const auto twice = hn::Add(lane, lane);  // 0 2 4 ... 1 3 5 ...
  const auto indices =
      hn::IndicesFromVec(d, hn::IfThenElse(hn::Lt(lane, hn::Set(di, half)), twice,
                                           hn::Sub(twice, hn::Set(di, 2 * half - 1))));
  ((sums[kRow] = hn::TableLookupLanes(sums[kRow], indices)), ...);
}

// Pointers to the rows that a tile reads, the first one being `first`, at the block's first output
// without its padding. `end`: the column behind the last one that is read.
template <int kInputs>
HWY_INLINE void FindRows(const DirectPlane& plane, ptrdiff_t first, ptrdiff_t origin, ptrdiff_t end,
                         const float** rows, DirectCopies& copies) {
  const float* x = plane.x + (first - plane.rows_begin) * plane.in_w + origin;
  const ptrdiff_t begin = std::clamp<ptrdiff_t>(plane.rows_begin - first, 0, kInputs);
  const ptrdiff_t stop = std::clamp<ptrdiff_t>(plane.rows_end - first, begin, kInputs);
  for (ptrdiff_t i = 0; i < kInputs; ++i) rows[i] = x + i * plane.in_w;
  for (ptrdiff_t i = 0; i < begin; ++i) rows[i] = kZeroRow + kDirectMaxPad;
  for (ptrdiff_t i = stop; i < kInputs; ++i) rows[i] = kZeroRow + kDirectMaxPad;
  if (HWY_LIKELY(plane.readable_begin == nullptr)) return;
  for (ptrdiff_t i = begin; i < stop; ++i) {
    if (rows[i] - plane.pad_left >= plane.readable_begin && rows[i] + end <= plane.readable_end) {
      continue;
    }
    rows[i] = CopyRow(rows[i], -plane.pad_left, end, -origin, plane.in_w - origin, copies);
  }
}

template <bool kNarrow, class D, class V, size_t... kRow>
HWY_INLINE void FinishTile(D d, const DepthwiseFinish& finish, const DepthwiseStripe& stripe,
                           size_t at, size_t width, V* sums, std::index_sequence<kRow...>) {
  const size_t out_w = stripe.out_w;
  if (stripe.residual != nullptr) {
    ((sums[kRow] = AddResidual(d, stripe, at + kRow * out_w, width, sums[kRow])), ...);
  }
  if (finish.hard_swish) {
    ((sums[kRow] = HardSwish(d, finish, sums[kRow])), ...);
  } else {
    const V low = hn::Set(d, finish.low), high = hn::Set(d, finish.high);
    ((sums[kRow] = ClampVector(d, low, high, sums[kRow])), ...);
  }
  if constexpr (kNarrow) {
    (StoreOutput(d, stripe, at + kRow * out_w, width, sums[kRow]), ...);
  } else {
    float* HWY_RESTRICT y = stripe.y + at;
    ((hn::StoreU(sums[kRow], d, y), y += out_w), ...);
  }
}

// kRows output rows, `row` being the first. Each input vector is loaded once for each kernel column
// and serves up to kSize rows. kNarrow: the rows are shorter than a vector.
template <int kSize, int kStride, int kRows, bool kNarrow, class D>
HWY_NOINLINE void DirectRows(D d, const DirectPlane& plane, const DepthwiseFinish& finish,
                             size_t row) {
  constexpr auto kRowsOfTile = std::make_index_sequence<kRows>();
  constexpr int kInputs = (kRows - 1) * kStride + kSize;
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto width = static_cast<ptrdiff_t>(plane.width);
  const auto origin = static_cast<ptrdiff_t>(plane.col_begin * kStride);
  const ptrdiff_t last = kNarrow ? 0 : width - lanes;
  const ptrdiff_t end = kSize - 1 + kStride * (last + lanes) - plane.pad_left;
  const float* rows[kInputs];
  DirectCopies copies;
  FindRows<kInputs>(plane, plane.first_row + static_cast<ptrdiff_t>(row * kStride), origin, end,
                    rows, copies);
  const size_t at = row * plane.out.out_w + plane.col_begin;
  // Vectors up to here read nothing right of the image; only a few more may be followed by `last`.
  const ptrdiff_t inside = plane.in_w - origin - (kSize - 1 + kStride * lanes) + plane.pad_left;
  HWY_ALIGN float own_masks[kMaskFloats];
  for (ptrdiff_t col = 0;; col = std::min(col + lanes, last)) {
    hn::Vec<D> sums[kRows];
    for (auto& sum : sums) sum = hn::Set(d, plane.out.bias);
    const ptrdiff_t q = col * kStride - plane.pad_left;
    const float* masks = reinterpret_cast<const float*>(kNoMask.data());
    if (col == 0) {
      masks = plane.first_masks;
    } else if (col == last) {
      masks = plane.last_masks;
    } else if (HWY_UNLIKELY(col * kStride > inside || origin + q < 0)) {
      FillMasks<kSize, kStride>(d, origin + q, plane.in_w, own_masks);
      masks = own_masks;
    }
    SumVector<kSize, kRows>(d, rows, q, masks, plane.out.weights, sums,
                            std::integral_constant<int, kStride>());
    if constexpr (kStride == 2) SortLanes(d, sums, kRowsOfTile);
    FinishTile<kNarrow>(d, finish, plane.out, at + static_cast<size_t>(col), plane.width, sums,
                        kRowsOfTile);
    if (col == last) break;
  }
}

template <int kSize, int kStride, int kRows, class D>
void DirectTile(D d, const DirectPlane& plane, const DepthwiseFinish& finish, size_t row) {
  if (plane.width < hn::Lanes(d)) {
    DirectRows<kSize, kStride, kRows, true>(d, plane, finish, row);
  } else {
    DirectRows<kSize, kStride, kRows, false>(d, plane, finish, row);
  }
}

// The rows in tiles about as high as each other. With stride 2, twice as many inputs and weights
// share the registers.
template <int kSize, int kStride, class D>
void DirectTiles(D d, const DirectPlane& plane, const DepthwiseFinish& finish) {
  constexpr size_t kMost = kStride == 1 ? 8 : 4;
  for (size_t row = 0, tiles = (plane.out.rows + kMost - 1) / kMost; tiles > 0; --tiles) {
    const size_t rows = (plane.out.rows - row + tiles - 1) / tiles;
    if (rows == 1) DirectTile<kSize, kStride, 1>(d, plane, finish, row);
    if (rows == 2) DirectTile<kSize, kStride, 2>(d, plane, finish, row);
    if (rows == 3) DirectTile<kSize, kStride, 3>(d, plane, finish, row);
    if (rows == 4) DirectTile<kSize, kStride, 4>(d, plane, finish, row);
    if constexpr (kMost > 4) {
      if (rows == 5) DirectTile<kSize, kStride, 5>(d, plane, finish, row);
      if (rows == 6) DirectTile<kSize, kStride, 6>(d, plane, finish, row);
      if (rows == 7) DirectTile<kSize, kStride, 7>(d, plane, finish, row);
      if (rows == 8) DirectTile<kSize, kStride, 8>(d, plane, finish, row);
    }
    row += rows;
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ESPALIER_DEPTHWISE_DIRECT
#endif  // per-target include guard
