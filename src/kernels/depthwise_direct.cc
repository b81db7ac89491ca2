#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise_direct.cc"
#include <algorithm>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/depthwise_direct-inl.h"
#include "kernels/depthwise_finish-inl.h"
#include "kernels/depthwise_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if ESPALIER_DEPTHWISE_DIRECT

inline bool IsDirect(const DepthwiseShape& s) {
  if (s.kernel_h != s.kernel_w || (s.kernel_h != 3 && s.kernel_h != 5)) return false;
  if (s.stride_h != s.stride_w || s.stride_h > 2 || s.dilation_h != 1 || s.dilation_w != 1) {
    return false;
  }
  const size_t right_end = size_t{s.out_w - 1} * s.stride_w + s.kernel_w;
  return s.pad_left <= kDirectMaxPad && right_end <= size_t{s.pad_left} + s.in_w + kDirectMaxPad &&
         s.in_w < (1u << 30);
}

template <int kSize, int kStride, class D>
void ComputeDirect(D d, const DepthwiseCall& call) {
  const DepthwiseShape& shape = call.shape;
  const DepthwiseOutput& output = call.output;
  const DepthwiseFinish finish = MakeFinish(output.activation);
  const size_t rows = call.range.row_end - call.range.row_begin;
  const size_t in_floats = call.input.rows * shape.in_w;
  const auto plane_of = [&](size_t c) {
    return call.input.x + c / shape.multiplier * call.input.plane_stride;
  };
  HWY_ALIGN float first_masks[kMaskFloats];
  HWY_ALIGN float last_masks[kMaskFloats];
  DirectPlane plane;
  plane.first_masks = first_masks;
  plane.last_masks = last_masks;
  plane.rows_begin = static_cast<ptrdiff_t>(call.input.row_begin);
  plane.rows_end =
      std::min<ptrdiff_t>(plane.rows_begin + static_cast<ptrdiff_t>(call.input.rows), shape.in_h);
  plane.first_row = static_cast<ptrdiff_t>(call.range.row_begin * kStride) -
                    static_cast<ptrdiff_t>(shape.pad_top);
  plane.pad_left = shape.pad_left;
  plane.in_w = static_cast<ptrdiff_t>(shape.in_w);
  plane.width = std::min<size_t>(shape.out_w, kDirectColumns);
  plane.out.rows = rows;
  plane.out.out_w = shape.out_w;
  const float* begin = plane_of(call.range.channel_begin);
  plane.readable_end = plane_of(call.range.channel_end - 1) + in_floats;
  const size_t slack = shape.kernel_w + shape.stride_w * hn::Lanes(d) + kDirectMaxPad;
  const auto fill_masks = [&] {
    const size_t width = std::max(plane.width, hn::Lanes(d));
    const auto first = static_cast<ptrdiff_t>(plane.col_begin * kStride) - plane.pad_left;
    const auto last = first + static_cast<ptrdiff_t>((width - hn::Lanes(d)) * kStride);
    FillMasks<kSize, kStride>(d, first, plane.in_w, first_masks);
    FillMasks<kSize, kStride>(d, last, plane.in_w, last_masks);
  };
  fill_masks();
  for (size_t c = call.range.channel_begin; c < call.range.channel_end; ++c) {
    plane.x = plane_of(c);
    const bool inner =
        plane.x >= begin + shape.pad_left && plane.x + in_floats + slack <= plane.readable_end;
    plane.readable_begin = inner ? nullptr : begin;
    plane.out.weights = call.weights.weights + c * kSize * kSize;
    plane.out.bias = call.weights.bias == nullptr ? 0.0f : call.weights.bias[c];
    plane.out.y = output.y + c * output.plane_stride;
    plane.out.y_end = plane.out.y + rows * shape.out_w;
    if (output.residual != nullptr) {
      plane.out.residual = output.residual + c * output.residual_plane_stride;
    }
    for (size_t col = 0; col < shape.out_w; col += plane.width) {
      plane.col_begin = std::min(col, shape.out_w - plane.width);
      if (plane.width < shape.out_w) fill_masks();
      DirectTiles<kSize, kStride>(d, plane, finish);
    }
    ActivateRows(d, output.activation, plane.out.y, rows, shape.out_w, shape.out_w);
  }
}

template <class D>
void ComputeDirect(D d, const DepthwiseCall& call) {
  const bool is_3 = call.shape.kernel_h == 3, is_1 = call.shape.stride_h == 1;
  if (is_3 && is_1) return ComputeDirect<3, 1>(d, call);
  if (is_3) return ComputeDirect<3, 2>(d, call);
  if (is_1) return ComputeDirect<5, 1>(d, call);
  ComputeDirect<5, 2>(d, call);
}

bool DirectKernel(const DepthwiseCall& call) {
  if (!IsDirect(call.shape)) return false;
  ComputeDirect(hn::CappedTag<float, kDepthwiseMaxLanes>(), call);
  return true;
}

#else

bool DirectKernel(const DepthwiseCall& /*call*/) { return false; }

#endif

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(DirectKernel);

bool DepthwiseDirect(const DepthwiseCall& call) noexcept {
  return HWY_DYNAMIC_DISPATCH(DirectKernel)(call);
}

}  // namespace espalier
#endif  // HWY_ONCE
