#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise.cc"
#include "espalier/kernels/depthwise.h"

#include <algorithm>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/activation-inl.h"
#include "kernels/depthwise_direct-inl.h"
#include "kernels/depthwise_far-inl.h"
#include "kernels/depthwise_layout.h"
#include "kernels/depthwise_pack-inl.h"
#include "kernels/depthwise_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

DepthwiseFinish MakeFinish(const Activation& activation) {
  DepthwiseFinish finish;
  finish.alpha = activation.alpha;
  finish.beta = activation.beta;
  finish.hard_swish = activation.kind == ActivationKind::kHardSwish;
  if (activation.kind == ActivationKind::kRelu) finish.low = 0;
  if (activation.kind == ActivationKind::kClip) {
    finish.low = activation.alpha;
    finish.high = activation.beta;
  }
  return finish;
}

template <ActivationKind kKind, class D>
void ActivateRows(D d, const Activation& activation, float* y, size_t rows, size_t width,
                  size_t out_w) {
  const size_t lanes = hn::Lanes(d);
  const auto alpha = hn::Set(d, activation.alpha), beta = hn::Set(d, activation.beta);
  for (; rows > 0; --rows, y += out_w) {
    size_t col = 0;
    for (; col + lanes <= width; col += lanes) {
      hn::StoreU(ActivateVector<kKind>(d, alpha, beta, hn::LoadU(d, y + col)), d, y + col);
    }
    if (col == width) continue;
    const auto rest = LoadFirst(d, y + col, width - col);
    StoreFirst(ActivateVector<kKind>(d, alpha, beta, rest), d, y + col, width - col);
  }
}

// The kinds that FinishVector leaves.
template <class D>
void ActivateRows(D d, const Activation& activation, float* y, size_t rows, size_t width,
                  size_t out_w) {
  using enum ActivationKind;
  switch (activation.kind) {
    case kNone:
    case kRelu:
    case kClip:
    case kHardSwish:
      return;
    case kLeakyRelu:
      return ActivateRows<kLeakyRelu>(d, activation, y, rows, width, out_w);
    case kHardSigmoid:
      return ActivateRows<kHardSigmoid>(d, activation, y, rows, width, out_w);
    case kSigmoid:
      return ActivateRows<kSigmoid>(d, activation, y, rows, width, out_w);
    case kSilu:
      return ActivateRows<kSilu>(d, activation, y, rows, width, out_w);
    case kTanh:
      return ActivateRows<kTanh>(d, activation, y, rows, width, out_w);
  }
}

struct DepthwiseCall {
  const DepthwiseShape& shape;
  const DepthwiseWeights& weights;
  const DepthwiseInput& input;
  const DepthwiseOutput& output;
  const DepthwiseRange& range;
};

// Output rows [row, row + rows) of channel c, from the packed input rows that they read.
template <class D>
void ComputeChannel(D d, const DepthwiseCall& call, const DepthwiseBlock& block,
                    const DepthwiseFinish& finish, const float* packed, size_t c, size_t row,
                    size_t rows) {
  const DepthwiseShape& shape = call.shape;
  const DepthwiseOutput& output = call.output;
  const size_t at = (row - call.range.row_begin) * shape.out_w + block.begin;
  float* plane = output.y + c * output.plane_stride;
  DepthwiseStripe stripe;
  stripe.packed = packed;
  stripe.weights = call.weights.weights + c * shape.kernel_h * shape.kernel_w;
  stripe.bias = call.weights.bias == nullptr ? 0.0f : call.weights.bias[c];
  stripe.y = plane + at;
  stripe.y_end = plane + (call.range.row_end - call.range.row_begin) * shape.out_w;
  stripe.rows = rows;
  stripe.out_w = shape.out_w;
  if (output.residual != nullptr) {
    stripe.residual = output.residual + c * output.residual_plane_stride + at;
  }
  GenericPlane(d, shape, block, finish, stripe);
  ActivateRows(d, output.activation, stripe.y, rows, block.width, shape.out_w);
}

// Copies the input rows of one plane from input row `first` on, which is negative in the padding.
template <class D>
void PackRows(D d, const DepthwiseCall& call, const DepthwiseBlock& block, size_t plane,
              ptrdiff_t first, size_t rows, float* packed) {
  const DepthwiseInput& input = call.input;
  const auto begin = static_cast<ptrdiff_t>(input.row_begin);
  const auto end = std::min<ptrdiff_t>(begin + static_cast<ptrdiff_t>(input.rows), call.shape.in_h);
  const ptrdiff_t stop = first + static_cast<ptrdiff_t>(rows);
  const ptrdiff_t from = std::clamp(begin, first, stop), to = std::clamp(end, from, stop);
  const auto at = [&](ptrdiff_t row) {
    return packed + static_cast<size_t>(row - first) * block.row_stride;
  };
  std::fill(packed, at(from), 0.0f);
  if (from < to) {
    const float* x =
        input.x + plane * input.plane_stride + static_cast<size_t>(from - begin) * call.shape.in_w;
    PackInputRows(d, block, call.shape, x, static_cast<size_t>(to - from), at(from));
  }
  std::fill(at(to), at(stop), 0.0f);
}

// Input planes [begin, end), one stripe of rows; the planes are all packed before the first is
// read, since a load that spans two stores waits until both have left the core's store queue.
template <class D>
void ComputeStripe(D d, const DepthwiseCall& call, const DepthwiseBlock& block,
                   const DepthwiseFinish& finish, size_t begin, size_t end, size_t row, size_t rows,
                   float* packed) {
  const DepthwiseShape& shape = call.shape;
  const size_t input_rows =
      (rows - 1) * shape.stride_h + size_t{shape.kernel_h - 1} * shape.dilation_h + 1;
  const auto first =
      static_cast<ptrdiff_t>(row * shape.stride_h) - static_cast<ptrdiff_t>(shape.pad_top);
  const size_t plane_floats = input_rows * block.row_stride;
  for (size_t plane = begin; plane < end; ++plane) {
    PackRows(d, call, block, plane, first, input_rows, packed + (plane - begin) * plane_floats);
  }
  for (size_t plane = begin; plane < end; ++plane) {
    const size_t c_begin = std::max(plane * shape.multiplier, call.range.channel_begin);
    const size_t c_end = std::min((plane + 1) * shape.multiplier, call.range.channel_end);
    for (size_t c = c_begin; c < c_end; ++c) {
      ComputeChannel(d, call, block, finish, packed + (plane - begin) * plane_floats, c, row, rows);
    }
  }
}

template <class D>
void ComputeBlock(D d, const DepthwiseCall& call, const DepthwiseLayout& layout,
                  const DepthwiseBlock& block) {
  const DepthwiseFinish finish = MakeFinish(call.output.activation);
  const size_t multiplier = call.shape.multiplier;
  const size_t planes_end = (call.range.channel_end + multiplier - 1) / multiplier;
  const size_t planes_begin = call.range.channel_begin / multiplier;
  const size_t planes = std::min(layout.planes, planes_end - planes_begin);
  HWY_ALIGN float scratch[kDepthwiseScratch];
  // Packing keeps the zeros beside each row; the last vectors read past the last row.
  std::fill_n(scratch,
              block.margin + planes * layout.input_rows * block.row_stride + kDepthwiseMaxLanes,
              0.0f);
  for (size_t plane = planes_begin; plane < planes_end; plane += planes) {
    const size_t end = std::min(plane + planes, planes_end);
    for (size_t row = call.range.row_begin; row < call.range.row_end; row += layout.rows) {
      ComputeStripe(d, call, block, finish, plane, end, row,
                    std::min(layout.rows, call.range.row_end - row), scratch + block.margin);
    }
  }
}

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
  DirectPlane plane;
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
  const float* first_x =
      call.input.x + call.range.channel_begin / shape.multiplier * call.input.plane_stride;
  const float* last_x =
      call.input.x + (call.range.channel_end - 1) / shape.multiplier * call.input.plane_stride;
  const size_t input_floats = call.input.rows * shape.in_w;
  plane.readable_end = last_x + input_floats;
  HWY_ALIGN float first_masks[kMaskFloats];
  HWY_ALIGN float last_masks[kMaskFloats];
  plane.first_masks = first_masks;
  plane.last_masks = last_masks;
  const auto fill_masks = [&] {
    const size_t width = std::max(plane.width, hn::Lanes(d));
    const auto first = static_cast<ptrdiff_t>(plane.col_begin * kStride) - plane.pad_left;
    const auto last = first + static_cast<ptrdiff_t>((width - hn::Lanes(d)) * kStride);
    FillMasks<kSize, kStride>(d, first, plane.in_w, first_masks);
    FillMasks<kSize, kStride>(d, last, plane.in_w, last_masks);
  };
  fill_masks();
  for (size_t c = call.range.channel_begin; c < call.range.channel_end; ++c) {
    plane.x = call.input.x + c / shape.multiplier * call.input.plane_stride;
    const bool inner = plane.x - kDirectSlack >= first_x &&
                       plane.x + input_floats + kDirectSlack <= plane.readable_end;
    plane.readable_begin = inner ? nullptr : first_x;
    plane.out.weights = call.weights.weights + c * kSize * kSize;
    plane.out.bias = call.weights.bias == nullptr ? 0.0f : call.weights.bias[c];
    plane.out.y = output.y + c * output.plane_stride;
    plane.out.y_end = plane.out.y + rows * shape.out_w;
    if (output.residual != nullptr) {
      plane.out.residual = output.residual + c * output.residual_plane_stride;
    }
    for (size_t begin = 0; begin < shape.out_w; begin += plane.width) {
      plane.col_begin = std::min(begin, shape.out_w - plane.width);
      if (plane.width < shape.out_w) fill_masks();
      DirectTiles<kSize, kStride>(d, plane, finish);
    }
    ActivateRows(d, output.activation, plane.out.y, rows, shape.out_w, shape.out_w);
  }
}
#endif

template <class D>
void ComputeAll(D d, const DepthwiseCall& call) {
  const DepthwiseShape& shape = call.shape;
#if ESPALIER_DEPTHWISE_DIRECT
  if (IsDirect(shape)) {
    if (shape.kernel_h == 3 && shape.stride_h == 1) return ComputeDirect<3, 1>(d, call);
    if (shape.kernel_h == 3) return ComputeDirect<3, 2>(d, call);
    if (shape.stride_h == 1) return ComputeDirect<5, 1>(d, call);
    return ComputeDirect<5, 2>(d, call);
  }
#endif
  const size_t rows = call.range.row_end - call.range.row_begin;
  const DepthwiseLayout layout = MakeDepthwiseLayout(shape, rows, hn::Lanes(d));
  if (layout.width == 0) {
    ComputeFarTaps(d, shape, call.weights, call.input, call.output, call.range,
                   MakeFinish(call.output.activation));
    for (size_t c = call.range.channel_begin; c < call.range.channel_end; ++c) {
      ActivateRows(d, call.output.activation, call.output.y + c * call.output.plane_stride, rows,
                   shape.out_w, shape.out_w);
    }
    return;
  }
  // Blocks are equally wide; the last one may overlap the one before, which costs less than a
  // narrow one and computes the same values again.
  for (size_t begin = 0; begin < shape.out_w; begin += layout.width) {
    const size_t at = std::min(begin, shape.out_w - layout.width);
    ComputeBlock(d, call, layout, MakeDepthwiseBlock(shape, at, layout.width, hn::Lanes(d)));
  }
}

void DepthwiseKernel(const DepthwiseShape& shape, const DepthwiseWeights& weights,
                     const DepthwiseInput& input, const DepthwiseOutput& output,
                     const DepthwiseRange& range) {
  const DepthwiseCall call = {shape, weights, input, output, range};
  if (shape.out_w <= 8) {  // half of a vector of 16 would be wasted
    ComputeAll(hn::CappedTag<float, 8>(), call);
  } else {
    ComputeAll(hn::CappedTag<float, kDepthwiseMaxLanes>(), call);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(DepthwiseKernel);

void DepthwiseConv(const DepthwiseShape& shape, const DepthwiseWeights& weights,
                   const DepthwiseInput& input, const DepthwiseOutput& output,
                   const DepthwiseRange& range) noexcept {
  if (range.channel_begin >= range.channel_end || range.row_begin >= range.row_end ||
      shape.out_w == 0) {
    return;
  }
  HWY_DYNAMIC_DISPATCH(DepthwiseKernel)(shape, weights, input, output, range);
}

}  // namespace espalier
#endif  // HWY_ONCE
