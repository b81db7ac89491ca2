#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise_packed.cc"
#include <algorithm>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
#include "kernels/depthwise_far-inl.h"
#include "kernels/depthwise_finish-inl.h"
#include "kernels/depthwise_kernels.h"
#include "kernels/depthwise_layout.h"
#include "kernels/depthwise_pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Any kernel: four vectors of outputs at once, which may lie in different rows. The last step may
// compute the last vector more than once.
template <class D>
void GenericPlane(D d, const DepthwiseShape& shape, const DepthwiseBlock& block,
                  const DepthwiseFinish& finish, const DepthwiseStripe& stripe) {
  const size_t lanes = hn::Lanes(d);
  const size_t last = block.width > lanes ? block.width - lanes : 0;
  const size_t per_row = (block.width + lanes - 1) / lanes;
  const size_t vectors = stripe.rows * per_row;
  for (size_t vector = 0; vector < vectors; vector += 4) {
    const float* in[4];
    size_t at[4];
    for (size_t i = 0; i < 4; ++i) {
      const size_t v = std::min(vector + i, vectors - 1);
      const size_t col = std::min(v % per_row * lanes, last);
      in[i] = stripe.packed + v / per_row * shape.stride_h * block.row_stride + col;
      at[i] = v / per_row * stripe.out_w + col;
    }
    const auto bias = hn::Set(d, stripe.bias);
    auto sum0 = bias, sum1 = bias, sum2 = bias, sum3 = bias;
    const float* HWY_RESTRICT w = stripe.weights;
    for (size_t ky = 0; ky < shape.kernel_h; ++ky) {
      const auto row = static_cast<ptrdiff_t>(ky * shape.dilation_h * block.row_stride);
      for (size_t kx = 0; kx < shape.kernel_w; ++kx, ++w) {
        const ptrdiff_t offset = row + block.offset[kx];
        const auto weight = hn::Set(d, *w);
        sum0 = hn::MulAdd(weight, hn::LoadU(d, in[0] + offset), sum0);
        sum1 = hn::MulAdd(weight, hn::LoadU(d, in[1] + offset), sum1);
        sum2 = hn::MulAdd(weight, hn::LoadU(d, in[2] + offset), sum2);
        sum3 = hn::MulAdd(weight, hn::LoadU(d, in[3] + offset), sum3);
      }
    }
    FinishVector(d, finish, stripe, at[0], block.width, sum0);
    FinishVector(d, finish, stripe, at[1], block.width, sum1);
    FinishVector(d, finish, stripe, at[2], block.width, sum2);
    FinishVector(d, finish, stripe, at[3], block.width, sum3);
  }
}

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

template <class D>
void ComputeAll(D d, const DepthwiseCall& call) {
  const DepthwiseShape& shape = call.shape;
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

void PackedKernel(const DepthwiseCall& call) {
  if (call.shape.out_w <= 8) {  // half of a vector of 16 would be wasted
    ComputeAll(hn::CappedTag<float, 8>(), call);
  } else {
    ComputeAll(hn::CappedTag<float, kDepthwiseMaxLanes>(), call);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(PackedKernel);

void DepthwisePacked(const DepthwiseCall& call) noexcept {
  HWY_DYNAMIC_DISPATCH(PackedKernel)(call);
}

}  // namespace espalier
#endif  // HWY_ONCE
