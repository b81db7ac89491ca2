#pragma once

#include <cstddef>

namespace espalier::runtime {

class OpContext;

struct RowRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool empty() const { return begin >= end; }
  std::size_t size() const { return empty() ? 0 : end - begin; }
};

/// Some rows of every channel of an image: row `r` of channel `c` begins at
/// data[c * plane_stride + (r - rows.begin) * width].
struct StripeView {
  float* data = nullptr;
  std::size_t plane_stride = 0;
  RowRange rows;
};

/// Sizes of a layer from one image to another.
struct StripeShape {
  std::size_t in_channels = 0;
  std::size_t in_h = 0;
  std::size_t in_w = 0;
  std::size_t out_channels = 0;
  std::size_t out_h = 0;
  std::size_t out_w = 0;
  bool operator==(const StripeShape&) const = default;
};

/// What a layer reads beside its image.
struct StripeOperands {
  const float* bias = nullptr;
  const float* residual = nullptr;  ///< All rows, laid out as the output; or null.
};

/// A layer that can compute some rows of its output image from some rows of its input image, so
/// that the next layer finds them in the cache.
class StripeLayer {
 public:
  virtual ~StripeLayer() = default;
  virtual StripeShape Shape() const = 0;
  /// Input rows that output rows `out` read.
  virtual RowRange InputRows(RowRange out) const = 0;
  /// For RunRows(); aligned to kAlignment.
  virtual std::size_t ScratchBytes() const = 0;
  virtual StripeOperands Operands(const OpContext& context) const = 0;
  /// Computes output rows `rows`, which `out` has to hold; `in` holds at least InputRows(rows).
  /// Several threads may call it at once with scratch of their own.
  virtual void RunRows(const StripeOperands& operands, const StripeView& in, const StripeView& out,
                       RowRange rows, std::byte* scratch) const noexcept = 0;
};

}  // namespace espalier::runtime
