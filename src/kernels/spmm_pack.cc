#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/spmm_pack.cc"
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernels/spmm_parts.h"

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/spmm_rows-inl.h"
#include "kernels/spmm_transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using internal::SpmmSegment;
using internal::SpmmTile;
using Tag = hn::CappedTag<float, 16>;

HWY_INLINE void ZeroRows(const SpmmTile& tile, size_t k_count, float* HWY_RESTRICT buffer) {
  const size_t padded = (k_count + 3) / 4 * 4;
  std::fill(buffer + k_count * tile.ld, buffer + padded * tile.ld, 0.0f);
}

// Tiles of up to 10 vectors and no part of one: unrolled, since a layer with few output channels
// spends a tenth of its time here.
template <size_t kVectors>
void PackWholePlanes(const SpmmTile& tile, size_t k_begin, size_t k_end,
                     float* HWY_RESTRICT buffer) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const SpmmInput& input = *tile.input;
  const size_t from_ld = input.ld;
  const size_t to_ld = tile.ld;
  const size_t last = tile.last_start;
  const float* HWY_RESTRICT from = input.x + k_begin * from_ld + tile.pixel;
  float* HWY_RESTRICT to = buffer;
  for (size_t k = k_begin; k < k_end; ++k, from += from_ld, to += to_ld) {
    ESPALIER_UNROLL for (size_t i = 0; i + 1 < kVectors; ++i) {
      hn::Store(hn::LoadU(d, from + i * lanes), d, to + i * lanes);
    }
    hn::Store(hn::LoadU(d, from + last), d, to + (kVectors - 1) * lanes);
  }
  ZeroRows(tile, k_end - k_begin, buffer);
}

void PackAnyPlanes(const SpmmTile& tile, size_t k_begin, size_t k_end, float* HWY_RESTRICT buffer) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const SpmmInput& input = *tile.input;
  const float* HWY_RESTRICT from = input.x + k_begin * input.ld + tile.pixel;
  const size_t middle = (tile.vectors - 1) * lanes;
  for (size_t k = k_begin; k < k_end; ++k, from += input.ld) {
    float* HWY_RESTRICT to = buffer + (k - k_begin) * tile.ld;
    for (size_t i = 0; i < middle; i += lanes) hn::Store(hn::LoadU(d, from + i), d, to + i);
    if (tile.count >= lanes) {
      hn::Store(hn::LoadU(d, from + tile.last_start), d, to + middle);
    } else {
      std::fill(to, to + lanes, 0.0f);
      std::memcpy(to, from, tile.count * sizeof(float));
    }
  }
  ZeroRows(tile, k_end - k_begin, buffer);
}

void PackPlanes(const SpmmTile& tile, size_t k_begin, size_t k_end, float* HWY_RESTRICT buffer) {
  static constexpr internal::SpmmPackFn kWhole[] = {
      &PackWholePlanes<1>, &PackWholePlanes<2>, &PackWholePlanes<3>, &PackWholePlanes<4>,
      &PackWholePlanes<5>, &PackWholePlanes<6>, &PackWholePlanes<7>, &PackWholePlanes<8>,
      &PackWholePlanes<9>, &PackWholePlanes<10>};
  const bool whole = tile.vectors <= std::size(kWhole) && tile.count >= hn::Lanes(Tag());
  (whole ? kWhole[tile.vectors - 1] : &PackAnyPlanes)(tile, k_begin, k_end, buffer);
}

// Four pixels, k_count channels, to four columns of the buffer.
HWY_INLINE void PackFourTokens(const float* HWY_RESTRICT from, size_t from_ld, size_t k_count,
                               float* HWY_RESTRICT to, size_t to_ld) {
  size_t k = 0;
  for (; k + 4 <= k_count; k += 4) TransposeFour(from + k, from_ld, to + k * to_ld, to_ld);
  for (; k < k_count; ++k) {
    for (size_t i = 0; i < 4; ++i) to[k * to_ld + i] = from[i * from_ld + k];
  }
}

void PackTokens(const SpmmTile& tile, size_t k_begin, size_t k_end, float* HWY_RESTRICT buffer) {
  const size_t lanes = hn::Lanes(Tag());
  const SpmmInput& input = *tile.input;
  const float* HWY_RESTRICT from = input.x + tile.pixel * input.ld + k_begin;
  const size_t k_count = k_end - k_begin;
  const size_t middle = (tile.vectors - 1) * lanes;
  if (tile.count >= lanes && lanes >= 4) {
    for (size_t i = 0; i < middle + lanes; i += 4) {
      const size_t pixel = i < middle ? i : i - middle + tile.last_start;
      PackFourTokens(from + pixel * input.ld, input.ld, k_count, buffer + i, tile.ld);
    }
  } else {
    for (size_t k = 0; k < k_count; ++k) {
      for (size_t i = 0; i < middle + lanes; ++i) {
        buffer[k * tile.ld + i] = i < tile.count ? from[i * input.ld + k] : 0.0f;
      }
    }
  }
  ZeroRows(tile, k_count, buffer);
}

// count floats from a stride; may write up to a vector behind them, and reads below `end` only.
HWY_INLINE void CopyStrided(const float* HWY_RESTRICT from, const float* end, size_t stride,
                            size_t count, float* HWY_RESTRICT to) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if (stride == 1) {
    for (; i < count && from + i + lanes <= end; i += lanes) {
      hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    }
  } else if (stride == 2) {
#if HWY_TARGET != HWY_SCALAR
    for (; i < count && from + 2 * (i + lanes) <= end; i += lanes) {
      const auto low = hn::LoadU(d, from + 2 * i);
      const auto high = hn::LoadU(d, from + 2 * i + lanes);
      hn::StoreU(hn::ConcatEven(d, high, low), d, to + i);
    }
#endif
  }
  for (; i < count; ++i) to[i] = from[i * stride];
}

// One segment of one channel and window position; x is the input column of its first pixel.
HWY_INLINE void CopySegment(const float* HWY_RESTRICT row, const float* end, int64_t x,
                            const SpmmWindow& window, size_t count, float* HWY_RESTRICT to) {
  const int64_t stride = window.stride_w;
  const auto total = static_cast<int64_t>(count);
  const int64_t left = std::min(total, x < 0 ? (-x + stride - 1) / stride : 0);
  const int64_t room = static_cast<int64_t>(window.width) - x;  // of stride * i < room
  const int64_t right =
      std::max(left, std::min(total, room <= 0 ? 0 : (room + stride - 1) / stride));
  for (int64_t i = 0; i < left; ++i) to[i] = 0.0f;
  if (right > left) {
    CopyStrided(row + x + left * stride, end, static_cast<size_t>(stride),
                static_cast<size_t>(right - left), to + left);
  }
  for (int64_t i = right; i < total; ++i) to[i] = 0.0f;
}

void PackWindow(const SpmmTile& tile, size_t k_begin, size_t k_end, float* HWY_RESTRICT buffer) {
  const size_t lanes = hn::Lanes(Tag());
  const SpmmInput& input = *tile.input;
  const SpmmWindow& w = input.window;
  const float* end = input.x + (w.channels - 1) * input.ld + size_t{w.height} * w.width;
  size_t s = k_begin % w.kernel_w;
  size_t r = k_begin / w.kernel_w % w.kernel_h;
  const float* plane = input.x + k_begin / w.kernel_w / w.kernel_h * input.ld;
  for (size_t k = k_begin; k < k_end; ++k) {
    float* HWY_RESTRICT to = buffer + (k - k_begin) * tile.ld;
    for (size_t i = 0; i < tile.segment_count; ++i) {
      const SpmmSegment& segment = tile.segments[i];
      const int64_t y = segment.y + static_cast<int64_t>(r * w.dilation_h);
      if (y < 0 || y >= static_cast<int64_t>(w.height)) {
        std::fill(to, to + segment.count, 0.0f);
      } else {
        CopySegment(plane + y * w.width, end, segment.x + static_cast<int64_t>(s * w.dilation_w), w,
                    segment.count, to);
      }
      to += segment.count;
    }
    if (tile.count < lanes) std::fill(to, to + (lanes - tile.count), 0.0f);
    if (++s == w.kernel_w) {
      s = 0;
      if (++r == w.kernel_h) {
        r = 0;
        plane += input.ld;
      }
    }
  }
  ZeroRows(tile, k_end - k_begin, buffer);
}

internal::SpmmPackFn ChoosePack(SpmmInputKind kind) {
  if (kind == SpmmInputKind::kPlanes) return &PackPlanes;
  return kind == SpmmInputKind::kTokens ? &PackTokens : &PackWindow;
}

size_t LanesOfTarget() { return hn::Lanes(Tag()); }

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(ChoosePack);
HWY_EXPORT(LanesOfTarget);

internal::SpmmPackFn internal::ChooseSpmmPack(SpmmInputKind kind) noexcept {
  return HWY_DYNAMIC_DISPATCH(ChoosePack)(kind);
}

std::size_t SpmmLanes() noexcept { return HWY_DYNAMIC_DISPATCH(LanesOfTarget)(); }

}  // namespace espalier
#endif  // HWY_ONCE
