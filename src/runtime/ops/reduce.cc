#include "runtime/op.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/reduce_kernels.h"

namespace espalier::runtime {
namespace {

// The reductions, as the loops and the step at the end that make them.
struct Reduction {
  ReduceKind kind;
  ReduceEnd end;
  std::int64_t axes_input_since;  // opset in which `axes` became an input
};

class ReduceOp final : public FloatOp {
 public:
  ReduceOp(const OpBuild& build, const Reduction& reduction)
      : reduction_(reduction),
        axes_are_input_(build.opset() >= reduction.axes_input_since),
        keepdims_(build.Int("keepdims", 1) != 0),
        empty_keeps_all_(axes_are_input_ && build.Int("noop_with_empty_axes", 0) != 0) {
    if (!axes_are_input_) axes_ = build.Ints("axes", {});
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    if (axes_are_input_) {
      axes_.clear();
      if (context.HasInput(1)) ReadInts(context, 1, &axes_);
    }
    reduced_.assign(x.rank(), axes_.empty() && !empty_keeps_all_ ? 1 : 0);
    for (const std::int64_t axis : axes_) reduced_[CheckedAxis(axis, x.rank())] = 1;
    dims_.clear();
    for (std::size_t d = 0; d < x.rank(); ++d) {
      if (reduced_[d] == 0) {
        dims_.push_back(x.dims[d]);
      } else if (keepdims_) {
        dims_.push_back(1);
      }
    }
    Value& out = context.Output(0, x.dtype, dims_);
    if (out.Elements() == 0) return;
    plan_.Plan(x.dims, reduced_);
    kernels_.Run(reduction_.kind, reduction_.end, plan_, context.threads(), x, out);
  }

 private:
  const Reduction reduction_;
  const bool axes_are_input_;
  const bool keepdims_;
  const bool empty_keeps_all_;
  std::vector<std::int64_t> axes_;
  std::vector<char> reduced_;
  Dims dims_;
  ReducePlan plan_;
  ReduceKernels kernels_;
};

template <ReduceKind kKind, ReduceEnd kEnd, std::int64_t kAxesInputSince = 18>
std::unique_ptr<Op> Make(const OpBuild& build) {
  return std::make_unique<ReduceOp>(build, Reduction{kKind, kEnd, kAxesInputSince});
}

constexpr OpEntry kEntries[] = {
    {"", "ReduceSum", &Make<ReduceKind::kSum, ReduceEnd::kNone, 13>},
    {"", "ReduceMean", &Make<ReduceKind::kSum, ReduceEnd::kMean>},
    {"", "ReduceMax", &Make<ReduceKind::kMax, ReduceEnd::kNone>},
    {"", "ReduceMin", &Make<ReduceKind::kMin, ReduceEnd::kNone>},
    {"", "ReduceProd", &Make<ReduceKind::kProduct, ReduceEnd::kNone>},
    {"", "ReduceL1", &Make<ReduceKind::kAbsoluteSum, ReduceEnd::kNone>},
    {"", "ReduceL2", &Make<ReduceKind::kSquareSum, ReduceEnd::kSqrt>},
    {"", "ReduceLogSum", &Make<ReduceKind::kSum, ReduceEnd::kLog>},
    {"", "ReduceLogSumExp", &Make<ReduceKind::kExpSum, ReduceEnd::kLog>},
    {"", "ReduceSumSquare", &Make<ReduceKind::kSquareSum, ReduceEnd::kNone>},
};

}  // namespace

std::span<const OpEntry> ReduceOps() { return kEntries; }

}  // namespace espalier::runtime
