#include <fmt/format.h>

#include "runtime/conv_op.h"
#include "runtime/fused.h"
#include "runtime/layer_kernel.h"
#include "runtime/layer_weight.h"

namespace espalier::runtime {
namespace {

// The weight as [outputs, inputs]: transposed where the file has it the other way round.
std::vector<float> RowsByOutput(const LayerWeight& weight, std::size_t inputs,
                                std::size_t outputs) {
  constexpr std::size_t kBlock = 32;  // both sides of a block stay in L1
  std::vector<float> rows(inputs * outputs);
  const float* const from = weight.values().data();
  for (std::size_t i0 = 0; i0 < inputs; i0 += kBlock) {
    for (std::size_t o0 = 0; o0 < outputs; o0 += kBlock) {
      for (std::size_t i = i0; i < std::min(inputs, i0 + kBlock); ++i) {
        for (std::size_t o = o0; o < std::min(outputs, o0 + kBlock); ++o) {
          rows[o * inputs + i] = from[i * outputs + o];
        }
      }
    }
  }
  return rows;
}

class PackedLinear final : public Op {
 public:
  PackedLinear(const OpBuild& build, const Environment& environment, const Tensor& weight,
               bool by_output)
      : environment_(environment),
        weight_(weight),
        by_output_(by_output),
        gemm_(build.node().op_type == "Gemm"),
        layer_(LayerName(build.node())),
        activation_(FusedActivation(build.node())),
        sparsity_(SparsityOf(weight_.values())) {
    if (const OpEntry* entry = FindOp(build.node())) general_ = entry->make(build);
    outputs_ = static_cast<std::size_t>(weight.dims()[by_output ? 0 : 1]);
    inputs_ = static_cast<std::size_t>(weight.dims()[by_output ? 1 : 0]);
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (!prepared_ || x.dims != input_dims_ || x.dtype != DType::kFloat32) Prepare(x);
    if (use_general_) return general_->Run(context);
    Value& y = context.Output(0, DType::kFloat32, output_dims_);
    if (y.Elements() == 0) return;
    const Value* broadcast = nullptr;
    const ProductCall call = CallOf(context, x, y, broadcast);
    if (!product_) Choose(call, context);
    if (use_general_) return general_->Run(context);
    product_->Run(call, context);
    if (broadcast != nullptr) AddBroadcast(activation_, *broadcast, y);
  }

  std::string Kernel() const override { return use_general_ ? "onednn" : choice_.text; }
  std::string Reason() const override { return choice_.reason; }
  std::string Choice() const override { return choice_.text; }
  double Sparsity() const override { return sparsity_; }

 private:
  void Prepare(const Value& x) {
    const bool rank_fits = gemm_ ? x.rank() == 2 : x.rank() >= 1;
    if (x.dtype != DType::kFloat32 || !rank_fits ||
        static_cast<std::size_t>(x.dims.back()) != inputs_) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("an input of type {} and shape [{}] for a float32 weight with {} "
                              "input channels",
                              DTypeName(x.dtype), fmt::join(x.dims, ", "), inputs_));
    }
    input_dims_ = x.dims;
    output_dims_ = x.dims;
    output_dims_.back() = static_cast<std::int64_t>(outputs_);
    tokens_ = 1;
    for (std::size_t i = 0; i + 1 < x.rank(); ++i) {
      tokens_ *= static_cast<std::size_t>(x.dims[i]);
    }
    product_.reset();
    use_general_ = false;
    prepared_ = true;
  }

  ProductCall CallOf(OpContext& context, const Value& x, Value& y, const Value*& broadcast) const {
    ProductCall call;
    call.pixels = tokens_;
    call.input.kind = SpmmInputKind::kTokens;
    call.input.x = x.As<float>();
    call.input.ld = inputs_;
    call.output.kind = SpmmOutputKind::kTokens;
    call.output.y = y.As<float>();
    call.output.ld = outputs_;
    call.output.activation = activation_;
    // A Gemm's addend of another shape is added as a residual is.
    for (const std::size_t i : {std::size_t{2}, kResidualInput}) {
      if (!context.HasInput(i)) continue;
      const Value& value = context.Input(i);
      const bool vector = value.Elements() == outputs_ && value.rank() >= 1 &&
                          static_cast<std::size_t>(value.dims.back()) == outputs_;
      if (i == 2 && vector && value.dtype == DType::kFloat32) {
        call.output.bias = value.As<float>();
      } else if (call.output.residual == nullptr && value.dtype == DType::kFloat32 &&
                 value.dims == y.dims) {
        call.output.residual = value.As<float>();
        call.output.residual_ld = outputs_;
      } else if (broadcast == nullptr) {
        broadcast = &value;
        call.output.activation = {};
      } else {
        throw Error(ErrorCode::kUnsupported, "two addends that are broadcast");
      }
    }
    return call;
  }

  void Choose(const ProductCall& call, OpContext& context) {
    std::vector<float> transposed;
    std::span<const float> weights = weight_.values();
    if (!by_output_) weights = transposed = RowsByOutput(weight_, inputs_, outputs_);
    const LayerProblem problem{layer_, weights, outputs_, inputs_, tokens_, SpmmInputKind::kTokens,
                               ""};
    std::function<void()> general;
    if (general_) general = [&] { general_->Run(context); };
    choice_ = ChooseKernel(
        problem, environment_, [&](const PackedProduct& packed) { packed.Run(call, context); },
        general);
    use_general_ = choice_.general;
    if (use_general_) return;
    product_ = std::make_unique<PackedProduct>(weights, outputs_, inputs_, choice_.options, tokens_,
                                               environment_.options.threads);
  }

  const Environment& environment_;
  LayerWeight weight_;
  bool by_output_;
  bool gemm_;
  std::string layer_;
  Activation activation_;
  double sparsity_;
  std::size_t inputs_ = 0;
  std::size_t outputs_ = 0;
  std::size_t tokens_ = 0;
  bool prepared_ = false;
  Dims input_dims_;
  Dims output_dims_;
  std::unique_ptr<Op> general_;
  bool use_general_ = false;
  std::unique_ptr<PackedProduct> product_;
  LayerChoice choice_;
};

}  // namespace

std::unique_ptr<Op> MakePackedLinear(const OpBuild& build, const Environment& environment) {
  const Node& node = build.node();
  const bool gemm = node.op_type == "Gemm";
  if (!node.domain.empty() || (!gemm && node.op_type != "MatMul") || node.inputs.size() < 2) {
    return nullptr;
  }
  const Tensor* weight = ConstantFloatInput(build, 1);
  if (weight == nullptr || weight->elements() == 0 || weight->dims().size() != 2) return nullptr;
  const bool by_output = gemm && build.Int("transB", 0) != 0;
  if (gemm && (build.Float("alpha", 1) != 1 || build.Float("beta", 1) != 1 ||
               build.Int("transA", 0) != 0)) {
    return nullptr;
  }
  return std::make_unique<PackedLinear>(build, environment, *weight, by_output);
}

}  // namespace espalier::runtime
