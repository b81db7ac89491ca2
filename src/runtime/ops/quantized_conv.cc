#include <fmt/format.h>

#include "runtime/ops/conv_shape.h"
#include "runtime/ops/dispatch.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/quantized_parts.h"

namespace espalier::runtime {
namespace {

// A convolution of int8 or uint8 with int32 sums, which wrap around.
class IntegerConv {
 public:
  explicit IntegerConv(const OpBuild& build) : attributes_(build), groups_(build.Int("group", 1)) {
    if (groups_ < 1) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{}: group {}", NodeText(build.node()), groups_));
    }
  }

  void Place(const Value& x, const Value& w, const Value* x_zero, const Value* w_zero) {
    PlaceConv(attributes_, groups_, x.dims, w.dims, &shape_, &y_dims_);
    ReadCentred(x, x_zero, 1, 1, &x_);
    const std::int64_t outputs = w.dims[0];
    const std::int64_t row = outputs == 0 ? 1 : ElementCount(w.dims) / outputs;
    ReadCentred(w, w_zero, outputs, std::max<std::int64_t>(1, row), &w_);
  }

  const Dims& y_dims() const { return y_dims_; }
  std::int64_t plane() const { return shape_.OutElements(); }

  void Convolve(int threads, const std::int32_t* bias, std::int32_t* y) const {
    const std::int64_t outputs = shape_.groups * shape_.out_channels;
    const std::int64_t count = shape_.batch * outputs;
    const std::int64_t work =
        count * shape_.in_channels * shape_.OutElements() * shape_.Window().Kernel();
    const auto* x = reinterpret_cast<const std::uint32_t*>(x_.data());
    const auto* w = reinterpret_cast<const std::uint32_t*>(w_.data());
    ParallelRanges(threads, count, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t row = i % outputs;
        PlainConvPlane(shape_, i / outputs, row / shape_.out_channels, row % shape_.out_channels, x,
                       w, reinterpret_cast<const std::uint32_t*>(bias),
                       reinterpret_cast<std::uint32_t*>(y));
      }
    });
  }

 private:
  const WindowAttributes attributes_;
  const std::int64_t groups_;
  ConvShape shape_;
  Dims y_dims_;
  std::vector<std::int32_t> x_, w_;
};

class ConvIntegerOp final : public Op {
 public:
  explicit ConvIntegerOp(const OpBuild& build) : conv_(build) {}

  void Run(OpContext& context) override {
    conv_.Place(context.Input(0), context.Input(1),
                context.HasInput(2) ? &context.Input(2) : nullptr,
                context.HasInput(3) ? &context.Input(3) : nullptr);
    auto* y = context.Out<std::int32_t>(0, DType::kInt32, conv_.y_dims());
    conv_.Convolve(context.threads(), nullptr, y);
  }

 private:
  IntegerConv conv_;
};

// Inputs: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias.
class QLinearConvOp final : public Op {
 public:
  explicit QLinearConvOp(const OpBuild& build) : conv_(build) {}

  void Run(OpContext& context) override {
    conv_.Place(context.Input(0), context.Input(3), &context.Input(2), &context.Input(5));
    const std::int64_t outputs = conv_.y_dims()[1];
    ReadScales(context.Input(1), 1, &x_scale_);
    ReadScales(context.Input(4), outputs, &w_scale_);
    ReadScales(context.Input(6), 1, &y_scale_);
    ReadScales(context.Input(7), 1, &y_zero_);
    const DType dtype = context.Input(7).dtype;
    const std::int32_t* bias =
        context.HasInput(8) ? InputOf(context, 8, DType::kInt32).As<std::int32_t>() : nullptr;
    if ((dtype != DType::kInt8 && dtype != DType::kUint8) ||
        (bias != nullptr && context.Input(8).dims != Dims{outputs})) {
      throw Error(ErrorCode::kBadFile, fmt::format("a zero point of {} and {} output channels",
                                                   DTypeName(dtype), outputs));
    }
    Value& y = context.Output(0, dtype, conv_.y_dims());
    sums_.resize(y.Elements());
    conv_.Convolve(context.threads(), bias, sums_.data());
    const auto plane = static_cast<std::size_t>(conv_.plane());
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      const std::size_t row = i / plane % static_cast<std::size_t>(outputs);
      const double scale = x_scale_[0] * w_scale_[w_scale_.size() == 1 ? 0 : row] / y_scale_[0];
      StoreQuantized(dtype, sums_[i] * scale, y_zero_[0], y.data + i);
    }
  }

 private:
  IntegerConv conv_;
  std::vector<double> x_scale_, w_scale_, y_scale_, y_zero_;
  std::vector<std::int32_t> sums_;
};

}  // namespace

std::unique_ptr<Op> MakeConvInteger(const OpBuild& build) {
  return std::make_unique<ConvIntegerOp>(build);
}

std::unique_ptr<Op> MakeQLinearConv(const OpBuild& build) {
  return std::make_unique<QLinearConvOp>(build);
}

}  // namespace espalier::runtime
