#include "runtime/ops/conv_shape.h"

#include <fmt/format.h>

namespace espalier::runtime {
namespace {

constexpr std::int64_t kMostSize = std::int64_t{1} << 31;  // products of two stay in 64 bits

void CheckRanks(std::int64_t groups, const Dims& x, const Dims& w) {
  if (x.size() >= 3 && x.size() == w.size() && groups >= 1 && groups <= kMostSize &&
      w[1] <= kMostSize) {
    return;
  }
  throw Error(ErrorCode::kBadFile,
              fmt::format("a convolution of {} with the weight {} in {} groups", DimsText(x),
                          DimsText(w), groups));
}

void CheckChannels(std::int64_t groups, const Dims& x, const Dims& w, std::int64_t in_channels,
                   std::int64_t out_channels) {
  if (x[1] != in_channels || out_channels % groups != 0 || in_channels % groups != 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("a convolution of {} with the weight {} in {} groups", DimsText(x),
                            DimsText(w), groups));
  }
}

std::int64_t At(const std::vector<std::int64_t>& list, std::size_t i, std::int64_t fallback) {
  return list.empty() ? fallback : list[i];
}

// Sets pads of one axis of a ConvTranspose and its output size (`in` of the window).
void PlaceTransposedAxis(const WindowAttributes& attributes, const TransposeAttributes& transpose,
                         std::size_t i, std::size_t rank, WindowAxis* axis) {
  const std::int64_t padding = At(transpose.output_padding, i, 0);
  const std::int64_t whole = (axis->out - 1) * axis->stride + axis->Extent() + padding;
  const bool same =
      attributes.auto_pad == AutoPad::kSameUpper || attributes.auto_pad == AutoPad::kSameLower;
  if (!transpose.output_shape.empty() || same) {
    // The list may begin with batch and channels.
    axis->in = transpose.output_shape.empty()
                   ? axis->out * axis->stride
                   : transpose.output_shape[transpose.output_shape.size() - rank + i];
    if (axis->in < 0 || axis->in > kMostSize) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a transposed convolution with the output_shape {}", axis->in));
    }
    const std::int64_t total = std::max<std::int64_t>(0, whole - axis->in);
    axis->pad_begin = attributes.auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
    axis->pad_end = total - axis->pad_begin;
  } else {
    if (attributes.auto_pad == AutoPad::kNotSet) {
      axis->pad_begin = At(attributes.pads, i, 0);
      axis->pad_end = At(attributes.pads, i + rank, 0);
    }
    axis->in = whole - axis->pad_begin - axis->pad_end;
  }
  if (axis->in < 0 || (axis->out > 0 && axis->in == 0) || axis->in > kMostSize) {
    throw Error(ErrorCode::kBadFile, fmt::format("a transposed convolution from {} to {} elements",
                                                 axis->out, axis->in));
  }
}

}  // namespace

void PlaceConv(const WindowAttributes& attributes, std::int64_t groups, const Dims& x,
               const Dims& w, ConvShape* shape, Dims* y) {
  CheckRanks(groups, x, w);
  CheckChannels(groups, x, w, w[1] * groups, w[0]);
  PlaceWindow(attributes, std::span(x).subspan(2), std::span(w).subspan(2), &shape->axes);
  shape->batch = x[0];
  shape->groups = groups;
  shape->in_channels = w[1];
  shape->out_channels = w[0] / groups;
  y->assign({x[0], w[0]});
  for (const WindowAxis& axis : shape->axes) y->push_back(axis.out);
}

void PlaceConvTranspose(const WindowAttributes& attributes, const TransposeAttributes& transpose,
                        std::int64_t groups, const Dims& x, const Dims& w, ConvShape* shape,
                        Dims* y) {
  CheckRanks(groups, x, w);
  const std::size_t rank = w.size() - 2;
  CheckChannels(groups, x, w, w[0], w[1] * groups);
  const auto fits = [&](const std::vector<std::int64_t>& list, std::size_t size) {
    return list.empty() || list.size() == size;
  };
  if (rank > 3 || !fits(attributes.strides, rank) || !fits(attributes.dilations, rank) ||
      !fits(attributes.pads, 2 * rank) || !fits(transpose.output_padding, rank) ||
      (!fits(transpose.output_shape, rank) && !fits(transpose.output_shape, rank + 2))) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("lists of strides, pads, ... do not fit {} spatial axes", rank));
  }
  shape->axes.assign(rank, {});
  shape->batch = x[0];
  shape->groups = groups;
  shape->in_channels = w[0] / groups;
  shape->out_channels = w[1];
  shape->transposed = true;
  y->assign({x[0], w[1] * groups});
  for (std::size_t i = 0; i < rank; ++i) {
    WindowAxis& axis = shape->axes[i];
    axis.out = x[i + 2];
    axis.kernel = w[i + 2];
    axis.stride = At(attributes.strides, i, 1);
    axis.dilation = At(attributes.dilations, i, 1);
    if (axis.kernel < 1 || axis.kernel > kMostSize || axis.out > kMostSize ||
        axis.out * axis.stride > kMostSize || axis.Extent() > kMostSize) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a transposed convolution of {} with the weight {}", DimsText(x),
                              DimsText(w)));
    }
    PlaceTransposedAxis(attributes, transpose, i, rank, &axis);
    y->push_back(axis.in);
  }
}

}  // namespace espalier::runtime
