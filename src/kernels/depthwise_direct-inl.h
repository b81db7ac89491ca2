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
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/depthwise_finish-inl.h"
#include "kernels/depthwise_layout.h"

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

// From here on a plane is larger than L1, and walking 8 rows side by side is more than the hardware
// foresees: 112x112 is 10 % faster with prefetches, 56x56 none.
inline constexpr ptrdiff_t kPrefetchWidth = 80;
inline constexpr size_t kDirectColumns = 512;  // outputs in a block
inline constexpr size_t kDirectMaxPad = 16;
// Output rows of a tile. 4 take 1.2 to 1.3 times as long as 8 for 3x3 of stride 1 (Zen 3); x86
// before AVX2 gets 4 all the same, for 5 s less of compile time.
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2
inline constexpr size_t kDirectRows = 4;
#else
inline constexpr size_t kDirectRows = 8;
#endif
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
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
  asm("" : "+v"(v.raw));
#endif
}

// Adds input row kInput of a tile to the sum of output row kRow, if that reads it. No lambdas from
// here on: GCC 12 inlines them too late to keep arrays of vectors in registers.
template <int kSize, int kStride, int kInput, int kRow, class V>
HWY_INLINE void AddTap(const V* w, V input, V* sums) {
  constexpr int kTap = kInput - kRow * kStride;
  if constexpr (kTap >= 0 && kTap < kSize) {
    sums[kRow] = hn::MulAdd(w[kTap], input, sums[kRow]);
  }
}

// Adds a vector of input row kInput of a tile to the sums of all output rows.
template <int kSize, int kStride, int kInput, class V, size_t... kRow>
HWY_INLINE void AddInputRow(const V* w, V input, V* sums, std::index_sequence<kRow...>) {
  (AddTap<kSize, kStride, kInput, kRow>(w, input, sums), ...);
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

template <int kSize, class D, class V, size_t... kTap>
HWY_INLINE void LoadWeightColumn(D d, const float* HWY_RESTRICT weights, V* w,
                                 std::index_sequence<kTap...>) {
  ((w[kTap] = hn::Set(d, weights[kTap * kSize])), ...);
}

template <class V, size_t... kRow>
HWY_INLINE void SetAll(V v, V* sums, std::index_sequence<kRow...>) {
  ((sums[kRow] = v), ...);
}

// The order in which a tile takes its input rows: one from each third in turn, so that sums which
// do not wait for each other stand side by side. From top to bottom, those that do would follow
// each other too closely for the core to look past them.
template <int kInputs>
constexpr std::array<int, kInputs> InputOrder() {
  constexpr int kParts = 3, kRowsOfPart = (kInputs + kParts - 1) / kParts;
  std::array<int, kInputs> order = {};
  int at = 0;
  for (int i = 0; i < kRowsOfPart; ++i) {
    for (int part = 0; part < kParts; ++part) {
      const int row = part * kRowsOfPart + i;
      if (row < kInputs) order[at++] = row;
    }
  }
  return order;
}

// Stride 1: adds kernel column kx of all input rows to the sums of a tile.
template <int kSize, int kRows, int kInput, class D, class V>
HWY_INLINE void AddColumnOfRow(D d, const float* HWY_RESTRICT from, V mask, const V* w, V* sums) {
  const auto input = LoadColumns(d, from, mask);
  AddInputRow<kSize, 1, kInput>(w, input, sums, std::make_index_sequence<kRows>());
}

template <int kSize, int kRows, class D, class V, size_t... kInput>
HWY_INLINE void AddColumn(D d, const float* const* rows, ptrdiff_t q, V mask, const V* w, V* sums,
                          std::index_sequence<kInput...>) {
  constexpr auto kOrder = InputOrder<sizeof...(kInput)>();
  (AddColumnOfRow<kSize, kRows, kOrder[kInput]>(d, rows[kOrder[kInput]] + q, mask, w, sums), ...);
}

// The even or the odd lanes of two vectors side by side; AVX2 leaves them in an order that
// SortLanes undoes once a sum is complete, which saves a shuffle for each input.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V EvenLanes([[maybe_unused]] D d, V b, V a) {
#if HWY_TARGET == HWY_AVX2
  return V{_mm256_shuffle_ps(a.raw, b.raw, _MM_SHUFFLE(2, 0, 2, 0))};
#else
  return hn::ConcatEven(d, b, a);
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V OddLanes([[maybe_unused]] D d, V b, V a) {
#if HWY_TARGET == HWY_AVX2
  return V{_mm256_shuffle_ps(a.raw, b.raw, _MM_SHUFFLE(3, 1, 3, 1))};
#else
  return hn::ConcatOdd(d, b, a);
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V SortLanes([[maybe_unused]] D d, V v) {
#if HWY_TARGET == HWY_AVX2
  return V{
      _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v.raw), _MM_SHUFFLE(3, 1, 2, 0)))};
#else
  return v;
#endif
}

// Stride 2: columns kx and kx + 1. Of two vectors side by side, the even lanes are what column kx
// sees and the odd ones what kx + 1 does.
template <int kSize, int kRows, bool kBoth, int kInput, class D, class V>
HWY_INLINE void AddTwoColumnsOfRow(D d, const float* HWY_RESTRICT from, V mask_a, V mask_b,
                                   const V* w0, const V* w1, V* sums) {
  const auto a = LoadColumns(d, from, mask_a);
  const auto b = LoadColumns(d, from + hn::Lanes(d), mask_b);
  auto even = EvenLanes(d, b, a);
  KeepInRegister(even);
  AddInputRow<kSize, 2, kInput>(w0, even, sums, std::make_index_sequence<kRows>());
  if constexpr (kBoth) {
    auto odd = OddLanes(d, b, a);
    KeepInRegister(odd);
    AddInputRow<kSize, 2, kInput>(w1, odd, sums, std::make_index_sequence<kRows>());
  }
}

template <int kSize, int kRows, bool kBoth, class D, class V, size_t... kInput>
HWY_INLINE void AddTwoColumns(D d, const float* const* rows, ptrdiff_t q, V mask_a, V mask_b,
                              const V* w0, const V* w1, V* sums, std::index_sequence<kInput...>) {
  constexpr auto kOrder = InputOrder<sizeof...(kInput)>();
  (AddTwoColumnsOfRow<kSize, kRows, kBoth, kOrder[kInput]>(d, rows[kOrder[kInput]] + q, mask_a,
                                                           mask_b, w0, w1, sums),
   ...);
}

// Columns kColumn and, with stride 2 and if there is one, kColumn + 1.
template <int kSize, int kStride, int kRows, int kColumn, class D, class V>
HWY_INLINE void AddColumns(D d, const float* const* rows, ptrdiff_t q,
                           const float* HWY_RESTRICT masks, const float* HWY_RESTRICT weights,
                           V* sums) {
  constexpr auto kInputs = std::make_index_sequence<kStride*(kRows - 1) + kSize>();
  constexpr auto kTaps = std::make_index_sequence<kSize>();
  constexpr bool kBoth = kColumn + 1 < kSize;
  const size_t lanes = hn::Lanes(d);
  const V mask = hn::Load(d, masks + kColumn * lanes);
  V w0[kSize], w1[kSize];
  if constexpr (kStride == 1) {
    LoadWeightColumn<kSize>(d, weights + kColumn, w0, kTaps);
    AddColumn<kSize, kRows>(d, rows, q + kColumn, mask, w0, sums, kInputs);
  } else if constexpr (kColumn % 2 == 0) {
    const V mask_b = hn::Load(d, masks + (kColumn + 1) * lanes);
    LoadWeightColumn<kSize>(d, weights + kColumn, w0, kTaps);
    LoadWeightColumn<kSize>(d, weights + kColumn + (kBoth ? 1 : 0), w1, kTaps);
    AddTwoColumns<kSize, kRows, kBoth>(d, rows, q + kColumn, mask, mask_b, w0, w1, sums, kInputs);
  }
}

// All of the kernel for one vector of outputs in kRows rows. q is the column of kernel column 0, as
// the row pointers count.
template <int kSize, int kStride, int kRows, class D, class V, size_t... kColumn>
HWY_INLINE void SumVector(D d, const float* const* rows, ptrdiff_t q,
                          const float* HWY_RESTRICT masks, const float* HWY_RESTRICT weights,
                          V* sums, std::index_sequence<kColumn...>) {
  (AddColumns<kSize, kStride, kRows, kColumn>(d, rows, q, masks, weights, sums), ...);
}

template <class D, class V, size_t... kRow>
HWY_INLINE void SortAll(D d, V* sums, std::index_sequence<kRow...>) {
  ((sums[kRow] = SortLanes(d, sums[kRow])), ...);
}

template <int... kInput>
HWY_INLINE void CopyPointers(const float* const* from, const float** to,
                             std::integer_sequence<int, kInput...>) {
  ((to[kInput] = from[kInput]), ...);
}

// Pointers to the rows that a tile reads, the first one being `first`, at the block's first output
// without its padding.
template <int... kInput>
HWY_INLINE void FindRows(const DirectPlane& plane, ptrdiff_t first, ptrdiff_t origin,
                         const float** rows, std::integer_sequence<int, kInput...>) {
  const float* x = plane.x + (first - plane.rows_begin) * plane.in_w + origin;
  const float* zero = kZeroRow + kDirectMaxPad;
  const auto begin = static_cast<size_t>(plane.rows_begin - first);
  const auto count = static_cast<size_t>(plane.rows_end - plane.rows_begin);
  ((rows[kInput] = kInput - begin < count ? x + kInput * plane.in_w : zero), ...);
}

// Replaces those that would be read before or behind what is readable. `end`: the column behind the
// last one that is read.
template <int kInputs>
HWY_NOINLINE void CopyRowsAtTheEnds(const DirectPlane& plane, ptrdiff_t origin, ptrdiff_t end,
                                    const float** rows, DirectCopies& copies) {
  for (ptrdiff_t i = 0; i < kInputs; ++i) {
    if (rows[i] == kZeroRow + kDirectMaxPad) continue;
    if (rows[i] - plane.pad_left >= plane.readable_begin && rows[i] + end <= plane.readable_end) {
      continue;
    }
    rows[i] = CopyRow(rows[i], -plane.pad_left, end, -origin, plane.in_w - origin, copies);
  }
}

template <class D, class V, size_t... kRow>
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
    ((sums[kRow] = ClampKeepingNan(low, high, sums[kRow])), ...);
  }
  if (width < hn::Lanes(d)) {
    (StoreOutput(d, stripe, at + kRow * out_w, width, sums[kRow]), ...);
  } else {
    float* HWY_RESTRICT y = stripe.y + at;
    ((hn::StoreU(sums[kRow], d, y), y += out_w), ...);
  }
}

// kRows output rows, `row` being the first. Each input vector is loaded once for each kernel column
// and serves up to kSize rows.
template <int kSize, int kStride, int kRows, class D>
HWY_NOINLINE void DirectRows(D d, const DirectPlane& plane, const DepthwiseFinish& finish,
                             size_t row) {
  constexpr int kInputs = (kRows - 1) * kStride + kSize;
  constexpr auto kInputRows = std::make_integer_sequence<int, kInputs>();
  constexpr auto kOutputs = std::make_index_sequence<kRows>();
  constexpr auto kColumns = std::make_index_sequence<kSize>();
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto origin = static_cast<ptrdiff_t>(plane.col_begin * kStride);
  const ptrdiff_t last = std::max<ptrdiff_t>(static_cast<ptrdiff_t>(plane.width) - lanes, 0);
  const ptrdiff_t reach = kSize - 1 + kStride * lanes - plane.pad_left;
  const float* rows[kInputs];
  DirectCopies copies;
  FindRows(plane, plane.first_row + static_cast<ptrdiff_t>(row * kStride), origin, rows,
           kInputRows);
  if (HWY_UNLIKELY(plane.readable_begin != nullptr)) {
    const float* copied[kInputs];
    CopyPointers(rows, copied, kInputRows);
    CopyRowsAtTheEnds<kInputs>(plane, origin, last * kStride + reach, copied, copies);
    CopyPointers(copied, rows, kInputRows);
  }
  const float bias = plane.out.bias;
  const float* HWY_RESTRICT weights = plane.out.weights;
  // Vectors up to here read nothing right of the image; only a few more may be followed by `last`.
  const ptrdiff_t inside = plane.in_w - origin - reach;
  const size_t at = row * plane.out.out_w + plane.col_begin;
  const bool prefetch =
      plane.in_w >= kPrefetchWidth && row + kRows < plane.out.rows;  // the next tile's rows
  HWY_ALIGN float own_masks[kMaskFloats];
  for (ptrdiff_t col = 0;; col = std::min(col + lanes, last)) {
    hn::Vec<D> sums[kRows];
    SetAll(hn::Set(d, bias), sums, kOutputs);
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
    if (prefetch) {
      for (int i = 1; i <= kRows * kStride; ++i)
        hwy::Prefetch(rows[kInputs - 1] + q + i * plane.in_w);
      for (int i = 0; i < kRows; ++i) {
        hwy::Prefetch(plane.out.y + at + static_cast<size_t>(col) + (i + kRows) * plane.out.out_w);
      }
    }
    SumVector<kSize, kStride, kRows>(d, rows, q, masks, weights, sums, kColumns);
    if constexpr (kStride == 2) SortAll(d, sums, kOutputs);
    FinishTile(d, finish, plane.out, at + static_cast<size_t>(col), plane.width, sums, kOutputs);
    if (col == last) break;
  }
}

// The rows in tiles about as high as each other. With stride 2, twice as many inputs and weights
// share the registers.
template <int kSize, int kStride, class D>
void DirectTiles(D d, const DirectPlane& plane, const DepthwiseFinish& finish) {
  // 5x5 of stride 2 is as fast with 5 rows as with 7, and compiles faster.
  constexpr size_t kMost = std::min<size_t>(kDirectRows, kStride == 1 ? 8 : kSize == 3 ? 7 : 5);
  for (size_t row = 0, tiles = (plane.out.rows + kMost - 1) / kMost; tiles > 0; --tiles) {
    const size_t rows = (plane.out.rows - row + tiles - 1) / tiles;
    if (rows == 1) DirectRows<kSize, kStride, 1>(d, plane, finish, row);
    if (rows == 2) DirectRows<kSize, kStride, 2>(d, plane, finish, row);
    if (rows == 3) DirectRows<kSize, kStride, 3>(d, plane, finish, row);
    if (rows == 4) DirectRows<kSize, kStride, 4>(d, plane, finish, row);
    if constexpr (kMost > 4) {
      if (rows == 5) DirectRows<kSize, kStride, 5>(d, plane, finish, row);
    }
    if constexpr (kMost > 6) {
      if (rows == 6) DirectRows<kSize, kStride, 6>(d, plane, finish, row);
      if (rows == 7) DirectRows<kSize, kStride, 7>(d, plane, finish, row);
    }
    if constexpr (kMost > 7) {
      if (rows == 8) DirectRows<kSize, kStride, 8>(d, plane, finish, row);
    }
    row += rows;
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // ESPALIER_DEPTHWISE_DIRECT
#endif  // per-target include guard
