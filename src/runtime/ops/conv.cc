#include <fmt/format.h>

#include "espalier/base/thread_pool.h"
#include "espalier/kernels/rows.h"
#include "runtime/fused.h"
#include "runtime/ops/conv_onednn.h"
#include "runtime/ops/conv_shape.h"
#include "runtime/ops/conv_transpose.h"
#include "runtime/ops/float_op.h"

namespace espalier::runtime {
namespace {

std::int64_t CheckedGroups(const OpBuild& build) {
  const std::int64_t groups = build.Int("group", 1);
  if (groups >= 1) return groups;
  throw Error(ErrorCode::kBadFile, fmt::format("{}: group {}", NodeText(build.node()), groups));
}

// Conv and ConvTranspose in any float type; float32 through oneDNN where that can run it.
class ConvOp final : public FloatOp {
 public:
  ConvOp(const OpBuild& build, bool transposed)
      : attributes_(build),
        groups_(CheckedGroups(build)),
        transposed_(transposed),
        activation_(FusedActivation(build.node())) {
    if (!transposed) return;
    transpose_.output_padding = build.Ints("output_padding", {});
    transpose_.output_shape = build.Ints("output_shape", {});
    for (const std::int64_t padding : transpose_.output_padding) {
      if (padding < 0 || padding > INT32_MAX) {
        build.Refuse(fmt::format("the output_padding {}", padding));
      }
    }
  }

  std::string Kernel() const override { return dense_.kernel(); }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Value& w = context.Input(1);
    CheckFloat(x, "the input of a convolution");
    if (transposed_) {
      PlaceConvTranspose(attributes_, transpose_, groups_, x.dims, w.dims, &shape_, &y_dims_);
    } else {
      PlaceConv(attributes_, groups_, x.dims, w.dims, &shape_, &y_dims_);
    }
    CheckOthers(context);
    Value& y = context.Output(0, x.dtype, y_dims_);
    if (y.Elements() == 0) return;
    if (x.dtype == DType::kFloat64) {
      RunPlain<double>(context, y.As<double>());
    } else if (SuitsScatter(shape_)) {
      RunScatter(context, y.As<float>());
    } else if (dense_.Prepare(shape_, context.HasInput(2), context.threads())) {
      RunDense(context, y.As<float>());
    } else {
      RunPlain<float>(context, y.As<float>());
    }
  }

 private:
  void CheckOthers(const OpContext& context) const {
    const DType dtype = context.Input(0).dtype;
    for (std::size_t i = 1; i < context.InputCount(); ++i) {
      if (!context.HasInput(i) || context.Input(i).dtype == dtype) continue;
      throw Error(ErrorCode::kBadFile,
                  fmt::format("input 0 is {}, input {} is {}", DTypeName(dtype), i,
                              DTypeName(context.Input(i).dtype)));
    }
    if (context.HasInput(2) && context.Input(2).dims != Dims{y_dims_[1]}) {
      throw Error(ErrorCode::kBadFile, fmt::format("a bias of {} for {} output channels",
                                                   DimsText(context.Input(2).dims), y_dims_[1]));
    }
    if (context.HasInput(kResidualInput) && context.Input(kResidualInput).dims != y_dims_) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a residual of {} for an output of {}",
                              DimsText(context.Input(kResidualInput).dims), DimsText(y_dims_)));
    }
  }

  // What is done to each part of y when its sums are complete.
  auto Finish(const OpContext& context, float* y) const {
    const float* residual =
        context.HasInput(kResidualInput) ? context.In<float>(kResidualInput) : nullptr;
    return [this, residual, y](std::int64_t begin, std::int64_t count) {
      ActivateRow(activation_, residual == nullptr ? nullptr : residual + begin, y + begin,
                  static_cast<std::size_t>(count));
    };
  }

  void RunDense(OpContext& context, float* y) {
    DenseConv::Arguments arguments;
    arguments.x = context.In<float>(0);
    arguments.w = context.In<float>(1);
    arguments.bias = context.HasInput(2) ? context.In<float>(2) : nullptr;
    arguments.y = y;
    arguments.constant_weight = context.IsConstant(1);
    dense_.Run(arguments, context, Finish(context, y));
  }

  void RunScatter(OpContext& context, float* y) {
    ScatterConvTranspose::Arguments arguments;
    arguments.x = context.In<float>(0);
    arguments.w = context.In<float>(1);
    arguments.bias = context.HasInput(2) ? context.In<float>(2) : nullptr;
    arguments.y = y;
    ScatterConvTranspose::Run(shape_, arguments, context, Finish(context, y));
  }

  template <typename T>
  void RunPlain(OpContext& context, T* y) {
    const T* bias = context.HasInput(2) ? context.In<T>(2) : nullptr;
    PlainConv(shape_, context.In<T>(0), context.In<T>(1), bias, y);
    const T* residual = context.HasInput(kResidualInput) ? context.In<T>(kResidualInput) : nullptr;
    if (residual == nullptr && activation_.kind == ActivationKind::kNone) return;
    const auto count = static_cast<std::size_t>(ElementCount(y_dims_));
    for (std::size_t i = 0; i < count; ++i) {
      const T sum = residual == nullptr ? y[i] : y[i] + residual[i];
      y[i] = activation_.kind == ActivationKind::kNone
                 ? sum
                 : static_cast<T>(Activate(activation_, static_cast<float>(sum)));
    }
  }

  const WindowAttributes attributes_;
  const std::int64_t groups_;
  const bool transposed_;
  const Activation activation_;
  TransposeAttributes transpose_;
  ConvShape shape_;
  Dims y_dims_;
  DenseConv dense_;
};

constexpr OpEntry kOps[] = {
    {"", "Conv",
     [](const OpBuild& build) -> std::unique_ptr<Op> {
       return std::make_unique<ConvOp>(build, /*transposed=*/false);
     }},
    {"", "ConvTranspose",
     [](const OpBuild& build) -> std::unique_ptr<Op> {
       return std::make_unique<ConvOp>(build, /*transposed=*/true);
     }},
};

}  // namespace

std::span<const OpEntry> ConvOps() { return kOps; }

}  // namespace espalier::runtime
