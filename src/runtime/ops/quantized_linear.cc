#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/normalize_parts.h"
#include "runtime/ops/quantized_parts.h"

namespace espalier::runtime {
namespace {

using StoredTypes = TypeList<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t>;
using RealTypes = TypeList<float, Half, BFloat16>;

// Which scale an element takes: one for all, one for each position of an axis, or one for each
// block of `block` positions of it.
struct ScaleGrid {
  std::int64_t outer = 1, size = 1, inner = 1;
  std::int64_t block = 1;
  std::int64_t blocks = 1;  // along the axis
  bool single = false;
  bool per_axis = false;  // a vector along the axis, the same for all of outer and inner

  // Calls body(begin, count, scale index) for runs of neighbours that share a scale, or whose
  // scales are neighbours, too (then step is 1).
  template <typename Body>
  void ForRuns(const Body& body) const {
    if (single) {
      body(std::int64_t{0}, outer * size * inner, std::int64_t{0}, std::int64_t{0});
      return;
    }
    for (std::int64_t o = 0; o < outer; ++o) {
      for (std::int64_t s = 0; s < size; ++s) {
        const std::int64_t begin = (o * size + s) * inner;
        if (per_axis) {
          body(begin, inner, s, std::int64_t{0});
        } else {
          body(begin, inner, (o * blocks + s / block) * inner, std::int64_t{1});
        }
      }
    }
  }
};

class LinearOp : public Op {
 public:
  explicit LinearOp(const OpBuild& build)
      : axis_(build.Int("axis", 1)), block_size_(build.Int("block_size", 0)) {
    if (block_size_ < 0) build.Refuse(fmt::format("block_size {}", block_size_));
  }

 protected:
  void PlaceScales(const OpContext& context) {
    const Value& x = context.Input(0);
    const Value& scale = context.Input(1);
    grid_ = {};
    grid_.single = scale.Elements() == 1 && scale.rank() <= 1;
    if (grid_.single) {
      grid_.outer = static_cast<std::int64_t>(x.Elements());
    } else {
      const std::size_t axis = CheckedAxis(axis_, x.rank());
      const AxisSplit split = SplitAt(x.dims, axis);
      grid_.outer = split.outer;
      grid_.size = split.size;
      grid_.inner = split.inner;
      PlaceBlocks(x.dims, scale.dims, axis);
    }
    if (context.HasInput(2) && context.Input(2).dims != scale.dims &&
        (context.Input(2).Elements() != 1 || !grid_.single)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("scales {} and zero points {}", DimsText(scale.dims),
                              DimsText(context.Input(2).dims)));
    }
    ReadScales(scale, static_cast<std::int64_t>(scale.Elements()), &scales_);
    zeros_.assign(scales_.size(), 0);
    if (context.HasInput(2)) {
      ReadScales(context.Input(2), static_cast<std::int64_t>(scales_.size()), &zeros_);
    }
  }

  ScaleGrid grid_;
  std::vector<double> scales_, zeros_;

 private:
  void PlaceBlocks(const Dims& x, const Dims& scale, std::size_t axis) {
    grid_.per_axis = scale.size() == 1 && scale[0] == grid_.size && block_size_ == 0;
    if (grid_.per_axis) return;
    bool fits = block_size_ > 0 && scale.size() == x.size();
    for (std::size_t i = 0; fits && i < x.size(); ++i) {
      const std::int64_t want =
          i == axis ? x[i] / block_size_ + (x[i] % block_size_ != 0 ? 1 : 0) : x[i];
      fits = scale[i] == want;
    }
    if (!fits) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("scales {} for {} along axis {} in blocks of {}", DimsText(scale),
                              DimsText(x), axis, block_size_));
    }
    grid_.block = block_size_;
    grid_.blocks = scale[axis];
  }

  const std::int64_t axis_, block_size_;
};

DType StoredTypeOf(const OpBuild& build) {
  // Numbers of TensorProto.DataType.
  switch (build.Int("output_dtype", 0)) {
    case 0:
      return DType::kUnknown;
    case 2:
      return DType::kUint8;
    case 3:
      return DType::kInt8;
    case 4:
      return DType::kUint16;
    case 5:
      return DType::kInt16;
    default:
      build.Refuse(fmt::format("output_dtype {}", build.Int("output_dtype", 0)));
  }
}

class QuantizeLinearOp final : public LinearOp {
 public:
  explicit QuantizeLinearOp(const OpBuild& build) : LinearOp(build), dtype_(StoredTypeOf(build)) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    PlaceScales(context);
    DType dtype = dtype_ == DType::kUnknown ? DType::kUint8 : dtype_;
    if (context.HasInput(2)) dtype = context.Input(2).dtype;
    Value& y = context.Output(0, dtype, x.dims);
    Dispatch(StoredTypes(), dtype, [&]<typename To>() {
      if (x.dtype == DType::kInt32) return Quantize(x.As<std::int32_t>(), y.As<To>());
      Dispatch(RealTypes(), x.dtype, [&]<typename From>() { Quantize(x.As<From>(), y.As<To>()); });
    });
  }

 private:
  template <typename From, typename To>
  void Quantize(const From* x, To* y) const {
    constexpr float kLow = std::numeric_limits<To>::lowest();
    constexpr float kHigh = static_cast<float>(std::numeric_limits<To>::max());
    grid_.ForRuns([&](std::int64_t begin, std::int64_t count, std::int64_t at, std::int64_t step) {
      for (std::int64_t i = 0; i < count; ++i) {
        const auto k = static_cast<std::size_t>(at + i * step);
        const auto scale = static_cast<float>(scales_[k]);
        const float rounded = std::nearbyint(static_cast<float>(x[begin + i]) / scale) +
                              static_cast<float>(zeros_[k]);
        // NaN becomes the smallest; INT32_MAX itself is no float.
        y[begin + i] = rounded >= kHigh ? std::numeric_limits<To>::max()
                       : rounded > kLow ? static_cast<To>(rounded)
                                        : std::numeric_limits<To>::lowest();
      }
    });
  }

  const DType dtype_;
};

class DequantizeLinearOp final : public LinearOp {
 public:
  explicit DequantizeLinearOp(const OpBuild& build) : LinearOp(build) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    PlaceScales(context);
    const DType dtype = context.Input(1).dtype;
    Value& y = context.Output(0, dtype, x.dims);
    Dispatch(StoredTypes(), x.dtype, [&]<typename From>() {
      Dispatch(RealTypes(), dtype, [&]<typename To>() { Dequantize(x.As<From>(), y.As<To>()); });
    });
  }

 private:
  template <typename From, typename To>
  void Dequantize(const From* x, To* y) const {
    grid_.ForRuns([&](std::int64_t begin, std::int64_t count, std::int64_t at, std::int64_t step) {
      for (std::int64_t i = 0; i < count; ++i) {
        const auto k = static_cast<std::size_t>(at + i * step);
        // As a float, in whole numbers where both are: a difference of int32 may pass 2^31.
        const auto centred = static_cast<float>(static_cast<double>(x[begin + i]) - zeros_[k]);
        y[begin + i] = static_cast<To>(centred * static_cast<float>(scales_[k]));
      }
    });
  }
};

// Scale and zero point from the smallest and the largest element, and zero.
class DynamicQuantizeLinearOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const Value& x = InputOf(context, 0, DType::kFloat32);
    const auto count = x.Elements();
    const float* from = x.As<float>();
    float low = 0, high = 0;
    for (std::size_t i = 0; i < count; ++i) {
      low = std::min(low, from[i]);
      high = std::max(high, from[i]);
    }
    const float scale = high == low ? 1 : (high - low) / 255;
    const float offset = -low / scale;  // NaN for infinite elements
    const float zero = offset > 0 ? std::nearbyint(std::min(offset, 255.0f)) : 0;
    auto* y = context.Out<std::uint8_t>(0, DType::kUint8, x.dims);
    for (std::size_t i = 0; i < count; ++i) {
      const float rounded = std::nearbyint(from[i] / scale) + zero;
      y[i] = rounded > 0 ? static_cast<std::uint8_t>(std::min(rounded, 255.0f)) : 0;  // NaN: 0
    }
    if (context.HasOutput(1)) *context.Out<float>(1, DType::kFloat32, {}) = scale;
    if (context.HasOutput(2)) {
      *context.Out<std::uint8_t>(2, DType::kUint8, {}) = static_cast<std::uint8_t>(zero);
    }
  }
};

}  // namespace

std::unique_ptr<Op> MakeQuantizeLinear(const OpBuild& build) {
  return std::make_unique<QuantizeLinearOp>(build);
}

std::unique_ptr<Op> MakeDequantizeLinear(const OpBuild& build) {
  return std::make_unique<DequantizeLinearOp>(build);
}

std::unique_ptr<Op> MakeDynamicQuantizeLinear(const OpBuild&) {
  return std::make_unique<DynamicQuantizeLinearOp>();
}

}  // namespace espalier::runtime
