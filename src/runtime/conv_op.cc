#include "runtime/conv_op.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "espalier/base/thread_pool.h"
#include "espalier/kernels/depthwise.h"
#include "espalier/kernels/rows.h"
#include "runtime/fused.h"
#include "runtime/layer_kernel.h"
#include "runtime/layer_weight.h"
#include "runtime/ops/conv_shape.h"

namespace espalier::runtime {
namespace {

std::uint32_t U32(std::int64_t value) { return static_cast<std::uint32_t>(value); }
std::size_t Size(std::int64_t value) { return static_cast<std::size_t>(value); }

constexpr std::int64_t kMaxAxis = std::int64_t{1} << 30;

// The sizes of one convolution, in one or two dimensions; one dimension is a row of height 1.
struct ConvSizes {
  std::size_t batch = 0;
  std::size_t groups = 0;
  std::size_t in_channels = 0;   // of a group
  std::size_t out_channels = 0;  // of a group
  std::size_t in_pixels = 0;
  std::size_t out_pixels = 0;
  SpmmWindow window;
};

// Everything that changes with the input's shape.
class ConvPlan {
 public:
  ConvPlan(const WindowAttributes& attributes, std::int64_t groups, const Dims& weight,
           const Dims& input) {
    ConvShape shape;
    PlaceConv(attributes, groups, input, weight, &shape, &output);
    for (const WindowAxis& axis : shape.axes) {
      // What the kernels count in 32 bits: elements of an axis, with its padding.
      if (std::max({axis.in, axis.out, axis.pad_begin}) < kMaxAxis) continue;
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("a convolution over {} to {}", DimsText(input), DimsText(output)));
    }
    const Window3d placed = shape.Window();
    SpmmWindow& window = sizes.window;
    window.height = U32(placed.h.in);
    window.width = U32(placed.w.in);
    window.kernel_h = U32(placed.h.kernel);
    window.kernel_w = U32(placed.w.kernel);
    window.stride_h = U32(placed.h.stride);
    window.stride_w = U32(placed.w.stride);
    window.dilation_h = U32(placed.h.dilation);
    window.dilation_w = U32(placed.w.dilation);
    window.pad_top = static_cast<std::int32_t>(placed.h.pad_begin);
    window.pad_left = U32(placed.w.pad_begin);
    window.out_h = U32(placed.h.out);
    window.out_w = U32(placed.w.out);
    window.channels = U32(shape.in_channels);
    sizes.batch = Size(shape.batch);
    sizes.groups = Size(shape.groups);
    sizes.in_channels = Size(shape.in_channels);
    sizes.out_channels = Size(shape.out_channels);
    sizes.in_pixels = Size(placed.In());
    sizes.out_pixels = Size(placed.Out());
  }

  ConvSizes sizes;
  Dims output;
};

bool IsPointwise(const SpmmWindow& w) {
  return w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1 &&
         w.pad_top == 0 && w.pad_left == 0 && w.out_h == w.height && w.out_w == w.width;
}

DepthwiseShape DepthwiseShapeOf(const ConvSizes& sizes) {
  const SpmmWindow& w = sizes.window;
  return {w.height,
          w.width,
          w.out_h,
          w.out_w,
          w.kernel_h,
          w.kernel_w,
          w.stride_h,
          w.stride_w,
          w.dilation_h,
          w.dilation_w,
          static_cast<std::uint32_t>(w.pad_top),
          w.pad_left,
          U32(static_cast<std::int64_t>(sizes.out_channels))};
}

std::string WindowText(const SpmmWindow& w) {
  return fmt::format("{}x{}x{} {}x{} {}x{} {}x{} {}x{}", w.channels, w.height, w.width, w.kernel_h,
                     w.kernel_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w, w.pad_top,
                     w.pad_left);
}

class PackedConv final : public Op, public StripeLayer {
 public:
  PackedConv(const OpBuild& build, const Environment& environment, const Tensor& weight)
      : environment_(environment),
        attributes_(build),
        groups_(build.Int("group", 1)),
        weight_(weight),
        weight_dims_(weight.dims()),
        layer_(LayerName(build.node())),
        activation_(FusedActivation(build.node())),
        sparsity_(SparsityOf(weight_.values())) {
    if (groups_ < 1 || weight_dims_[0] % groups_ != 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} output channels in {} groups", weight_dims_[0], groups_));
    }
    if (const OpEntry* entry = FindOp(build.node())) general_ = entry->make(build);
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (!plan_ || x.dims != input_dims_ || x.dtype != DType::kFloat32) Prepare(x);
    if (use_general_) return general_->Run(context);
    const Call call = CallOf(context, x);
    if (call.sizes->out_pixels * call.sizes->batch * Size(weight_dims_[0]) == 0) return;
    if (IsDepthwise()) {
      RunDepthwise(call);
    } else if (products_.empty()) {
      Choose(call, context);
      if (use_general_) return general_->Run(context);
      RunProducts(call, context);
    } else {
      RunProducts(call, context);
    }
    if (call.broadcast != nullptr) AddBroadcast(activation_, *call.broadcast, *call.y);
  }

  std::string Kernel() const override {
    if (!plan_) return "";
    if (use_general_) return "onednn";
    if (IsDepthwise()) {
      return fmt::format("depthwise {}x{}", plan_->sizes.window.kernel_h,
                         plan_->sizes.window.kernel_w);
    }
    return choice_.text;
  }
  std::string Reason() const override {
    if (plan_ && IsDepthwise()) return "its shape";
    return choice_.reason;
  }
  std::string Choice() const override { return choice_.text; }
  double Sparsity() const override { return sparsity_; }

  const StripeLayer* AsStripeLayer() const override {
    const bool one_product = plan_ && plan_->sizes.groups == 1 && products_.size() == 1;
    const bool image = plan_ && plan_->sizes.batch == 1 && input_dims_.size() == 4;
    return image && !use_general_ && !broadcast_residual_ && (IsDepthwise() || one_product)
               ? this
               : nullptr;
  }

  StripeShape Shape() const override {
    const SpmmWindow& w = plan_->sizes.window;
    return {Size(input_dims_[1]), w.height, w.width, Size(weight_dims_[0]), w.out_h, w.out_w};
  }

  RowRange InputRows(RowRange out) const override {
    const DepthwiseRows rows =
        DepthwiseInputRows(DepthwiseShapeOf(plan_->sizes), out.begin, out.end);
    return {rows.begin, rows.end};
  }

  std::size_t ScratchBytes() const override {
    return IsDepthwise() ? 0 : SpmmScratchBytes(products_.front().matrix());
  }

  StripeOperands Operands(const OpContext& context) const override {
    return {context.HasInput(2) ? context.In<float>(2) : nullptr,
            context.HasInput(kResidualInput) ? context.In<float>(kResidualInput) : nullptr};
  }

  void RunRows(const StripeOperands& operands, const StripeView& in, const StripeView& out,
               RowRange rows, std::byte* scratch) const noexcept override {
    IsDepthwise() ? DepthwiseOnRows(operands, in, out, rows)
                  : ProductOnRows(operands, in, out, rows, scratch);
  }

 private:
  struct Call {
    const ConvSizes* sizes;
    const float* x;
    const float* bias;
    const float* residual;
    const Value* broadcast;  // a residual of another shape
    Value* y;
  };

  bool IsDepthwise() const { return weight_dims_[1] == 1 && groups_ > 1; }

  void Prepare(const Value& x) {
    const auto channels = weight_dims_[1] * groups_;
    if (x.dtype != DType::kFloat32 || x.rank() != weight_dims_.size() || x.dims[1] != channels) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("an input of type {} and shape [{}] for a float32 weight of [{}] in "
                              "{} groups",
                              DTypeName(x.dtype), fmt::join(x.dims, ", "),
                              fmt::join(weight_dims_, ", "), groups_));
    }
    plan_.emplace(attributes_, groups_, weight_dims_, x.dims);
    input_dims_ = x.dims;
    products_.clear();
    use_general_ = false;
  }

  Call CallOf(OpContext& context, const Value& x) {
    Call call{};
    call.sizes = &plan_->sizes;
    call.y = &context.Output(0, DType::kFloat32, plan_->output);
    call.x = x.As<float>();
    if (context.HasInput(2)) {
      const Value& bias = context.Input(2);
      if (bias.dtype != DType::kFloat32 || bias.Elements() != Size(weight_dims_[0])) {
        throw Error(ErrorCode::kBadFile, fmt::format("a bias of [{}] for {} output channels",
                                                     fmt::join(bias.dims, ", "), weight_dims_[0]));
      }
      call.bias = bias.As<float>();
    }
    if (context.HasInput(kResidualInput)) {
      const Value& residual = context.Input(kResidualInput);
      const bool same = residual.dtype == DType::kFloat32 && residual.dims == plan_->output;
      if (same) {
        call.residual = residual.As<float>();
      } else {
        call.broadcast = &residual;
      }
    }
    broadcast_residual_ = call.broadcast != nullptr;
    return call;
  }

  Activation ActivationFor(const Call& call) const {
    return call.broadcast != nullptr ? Activation{} : activation_;
  }

  void RunDepthwise(const Call& call) const {
    const ConvSizes& sizes = *call.sizes;
    const DepthwiseShape shape = DepthwiseShapeOf(sizes);
    const std::size_t channels = Size(weight_dims_[0]);
    const auto threads = static_cast<std::size_t>(environment_.options.threads);
    const std::size_t tasks = sizes.batch * threads;
    ThreadPool::Shared().Run(environment_.options.threads, tasks, [&](std::size_t task) {
      const std::size_t image = task / threads;
      const std::size_t share = task % threads;
      const std::size_t out = image * channels * sizes.out_pixels;
      const DepthwiseInput input{call.x + image * sizes.groups * sizes.in_pixels, sizes.in_pixels,
                                 0, sizes.window.height};
      const DepthwiseOutput output{call.y->As<float>() + out, sizes.out_pixels,
                                   call.residual == nullptr ? nullptr : call.residual + out,
                                   sizes.out_pixels, ActivationFor(call)};
      const DepthwiseRange range{channels * share / threads, channels * (share + 1) / threads, 0,
                                 sizes.window.out_h};
      DepthwiseConv(shape, {weight_.values().data(), call.bias}, input, output, range);
    });
  }

  void DepthwiseOnRows(const StripeOperands& operands, const StripeView& in, const StripeView& out,
                       RowRange rows) const {
    const ConvSizes& sizes = plan_->sizes;
    const std::size_t width = sizes.window.out_w;
    const float* const residual =
        operands.residual == nullptr ? nullptr : operands.residual + rows.begin * width;
    DepthwiseConv(DepthwiseShapeOf(sizes), {weight_.values().data(), operands.bias},
                  {in.data, in.plane_stride, in.rows.begin, in.rows.size()},
                  {out.data + (rows.begin - out.rows.begin) * width, out.plane_stride, residual,
                   sizes.out_pixels, activation_},
                  {0, Size(weight_dims_[0]), rows.begin, rows.end});
  }

  void ProductOnRows(const StripeOperands& operands, const StripeView& in, const StripeView& out,
                     RowRange rows, std::byte* scratch) const {
    const SpmmWindow& whole = plan_->sizes.window;
    const std::size_t width = whole.out_w;
    SpmmInput input{SpmmInputKind::kPlanes, in.data, in.plane_stride, whole};
    if (IsPointwise(whole)) {
      input.x += (rows.begin - in.rows.begin) * width;
    } else {
      // Row 0 of the window's image is the first of the rows at hand, output row 0 that of `rows`.
      input.kind = SpmmInputKind::kWindow;
      input.window.height = static_cast<std::uint32_t>(in.rows.size());
      input.window.out_h = static_cast<std::uint32_t>(rows.size());
      input.window.pad_top =
          static_cast<std::int32_t>(whole.pad_top + static_cast<std::int64_t>(in.rows.begin) -
                                    static_cast<std::int64_t>(rows.begin * whole.stride_h));
    }
    SpmmOutput output;
    output.y = out.data + (rows.begin - out.rows.begin) * width;
    output.ld = out.plane_stride;
    output.bias = operands.bias;
    if (operands.residual != nullptr) output.residual = operands.residual + rows.begin * width;
    output.residual_ld = plan_->sizes.out_pixels;
    output.activation = activation_;
    const PackedMatrix& matrix = products_.front().matrix();
    Spmm(matrix, input, output, {0, rows.size() * width, 0, matrix.row_blocks()}, scratch);
  }

  ProductCall ProductFor(const Call& call, std::size_t image, std::size_t group) const {
    const ConvSizes& sizes = *call.sizes;
    const std::size_t in = (image * sizes.groups + group) * sizes.in_channels * sizes.in_pixels;
    const std::size_t rows = group * sizes.out_channels;
    const std::size_t out = (image * sizes.groups * sizes.out_channels + rows) * sizes.out_pixels;
    ProductCall product;
    product.pixels = sizes.out_pixels;
    product.input.kind =
        IsPointwise(sizes.window) ? SpmmInputKind::kPlanes : SpmmInputKind::kWindow;
    product.input.x = call.x + in;
    product.input.ld = sizes.in_pixels;
    product.input.window = sizes.window;
    product.output.y = call.y->As<float>() + out;
    product.output.ld = sizes.out_pixels;
    product.output.bias = call.bias == nullptr ? nullptr : call.bias + rows;
    product.output.residual = call.residual == nullptr ? nullptr : call.residual + out;
    product.output.residual_ld = sizes.out_pixels;
    product.output.activation = ActivationFor(call);
    return product;
  }

  void RunProducts(const Call& call, OpContext& context) const {
    for (std::size_t image = 0; image < call.sizes->batch; ++image) {
      for (std::size_t group = 0; group < call.sizes->groups; ++group) {
        products_[group].Run(ProductFor(call, image, group), context);
      }
    }
  }

  // The kernel is chosen on the first group and image; the others are alike.
  void Choose(const Call& call, OpContext& context) {
    const ConvSizes& sizes = *call.sizes;
    const std::size_t cols = sizes.in_channels * sizes.window.kernel_h * sizes.window.kernel_w;
    const std::size_t weights = sizes.out_channels * cols;
    const ProductCall first = ProductFor(call, 0, 0);
    LayerProblem problem{
        layer_,
        weight_.values().first(weights),
        sizes.out_channels,
        cols,
        sizes.out_pixels,
        first.input.kind,
        first.input.kind == SpmmInputKind::kWindow ? WindowText(sizes.window) : ""};
    std::function<void()> general;
    if (general_ && sizes.groups == 1 && sizes.batch == 1) {
      general = [&] { general_->Run(context); };
    }
    choice_ = ChooseKernel(
        problem, environment_, [&](const PackedProduct& packed) { packed.Run(first, context); },
        general);
    use_general_ = choice_.general;
    if (use_general_) return;
    for (std::size_t group = 0; group < sizes.groups; ++group) {
      products_.emplace_back(weight_.values().subspan(group * weights, weights), sizes.out_channels,
                             cols, choice_.options, sizes.out_pixels, environment_.options.threads);
    }
  }

  const Environment& environment_;
  const WindowAttributes attributes_;
  const std::int64_t groups_;
  LayerWeight weight_;
  Dims weight_dims_;
  std::string layer_;
  Activation activation_;
  double sparsity_;
  std::unique_ptr<Op> general_;
  bool use_general_ = false;
  bool broadcast_residual_ = false;  // in the last run
  Dims input_dims_;
  std::optional<ConvPlan> plan_;
  std::vector<PackedProduct> products_;
  LayerChoice choice_;
};

}  // namespace

std::unique_ptr<Op> MakePackedConv(const OpBuild& build, const Environment& environment) {
  const Node& node = build.node();
  if (!node.domain.empty() || node.op_type != "Conv" || node.inputs.size() < 2) return nullptr;
  const Tensor* weight = ConstantFloatInput(build, 1);
  if (weight == nullptr || weight->elements() == 0) return nullptr;
  if (weight->dims().size() != 3 && weight->dims().size() != 4) return nullptr;
  return std::make_unique<PackedConv>(build, environment, *weight);
}

}  // namespace espalier::runtime
