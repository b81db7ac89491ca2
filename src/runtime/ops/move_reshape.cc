#include <algorithm>

#include "runtime/ops/move.h"

namespace espalier::runtime {
namespace {

// Output 0 with the elements of input 0 under other dimensions.
void View(OpContext& context, const Dims& dims) {
  const Value& x = context.Input(0);
  const std::int64_t count = ElementCount(dims);
  if (static_cast<std::size_t>(count) != x.Elements()) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} elements of shape {} as {} of shape {}", x.Elements(),
                            DimsText(x.dims), count, DimsText(dims)));
  }
  context.OutputView(0, 0, x.dtype, dims);
}

class ReshapeOp final : public Op {
 public:
  explicit ReshapeOp(const OpBuild& build)
      : by_attribute_(build.opset() < 5),
        keep_zero_(build.Int("allowzero", 0) != 0),
        shape_(build.Ints("shape", {})) {}

  void Run(OpContext& context) override {
    if (!by_attribute_) ReadInts(context, 1, &shape_);
    const Value& x = context.Input(0);
    dims_ = shape_;
    std::size_t unknown = dims_.size();
    for (std::size_t i = 0; i < dims_.size(); ++i) {
      if (dims_[i] == 0 && !keep_zero_) {
        if (i >= x.rank()) Refuse(x.dims);
        dims_[i] = x.dims[i];
      } else if (dims_[i] == -1) {
        if (unknown != dims_.size()) Refuse(x.dims);
        unknown = i;
        dims_[i] = 1;
      } else if (dims_[i] < 0) {
        Refuse(x.dims);
      }
    }
    if (unknown != dims_.size()) {
      const std::int64_t known = ElementCount(dims_);
      const auto count = static_cast<std::int64_t>(x.Elements());
      if (known == 0 ? count != 0 : count % known != 0) Refuse(x.dims);
      dims_[unknown] = known == 0 ? 0 : count / known;
    }
    View(context, dims_);
  }

 private:
  [[noreturn]] void Refuse(const Dims& dims) const {
    throw Error(ErrorCode::kBadFile,
                fmt::format("shape {} reshaped to [{}]", DimsText(dims), fmt::join(shape_, ", ")));
  }

  const bool by_attribute_;
  const bool keep_zero_;
  std::vector<std::int64_t> shape_;
  Dims dims_;
};

class FlattenOp final : public Op {
 public:
  explicit FlattenOp(const OpBuild& build) : axis_(build.Int("axis", 1)) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    const auto rank = static_cast<std::int64_t>(x.rank());
    const std::int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
    if (axis < 0 || axis > rank) {
      throw Error(ErrorCode::kBadFile, fmt::format("axis {} of a tensor of rank {}", axis_, rank));
    }
    const auto at = static_cast<std::size_t>(axis);
    dims_.resize(2);
    dims_[0] = static_cast<std::int64_t>(Product(x.dims, 0, at));
    dims_[1] = static_cast<std::int64_t>(Product(x.dims, at, x.rank()));
    View(context, dims_);
  }

 private:
  const std::int64_t axis_;
  Dims dims_;
};

// The axes of Squeeze and Unsqueeze: an attribute before opset 13, then an input.
class AxesOp : public Op {
 public:
  explicit AxesOp(const OpBuild& build)
      : by_attribute_(build.opset() < 13), axes_(build.Ints("axes", {})) {}

 protected:
  // Sets marks_ for the axes out of `rank`.
  void MarkAxes(const OpContext& context, std::size_t rank) {
    if (!by_attribute_ && context.HasInput(1)) ReadInts(context, 1, &axes_);
    marks_.assign(rank, 0);
    for (const std::int64_t axis : axes_) {
      char& mark = marks_[CheckedAxis(axis, rank)];
      if (mark != 0) {
        throw Error(ErrorCode::kBadFile, fmt::format("axis {} comes twice", axis));
      }
      mark = 1;
    }
  }

  const bool by_attribute_;
  std::vector<std::int64_t> axes_;
  std::vector<char> marks_;
  Dims dims_;
};

class SqueezeOp final : public AxesOp {
 public:
  using AxesOp::AxesOp;

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    MarkAxes(context, x.rank());
    const bool all = by_attribute_ ? axes_.empty() : !context.HasInput(1);
    dims_.clear();
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (all ? x.dims[i] == 1 : marks_[i] != 0) {
        if (x.dims[i] == 1) continue;
        throw Error(ErrorCode::kBadFile,
                    fmt::format("axis {} of shape {} has no size of 1", i, DimsText(x.dims)));
      }
      dims_.push_back(x.dims[i]);
    }
    View(context, dims_);
  }
};

class UnsqueezeOp final : public AxesOp {
 public:
  using AxesOp::AxesOp;

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (!by_attribute_) ReadInts(context, 1, &axes_);
    MarkAxes(context, x.rank() + axes_.size());
    dims_.clear();
    std::size_t next = 0;
    for (const char mark : marks_) dims_.push_back(mark != 0 ? 1 : x.dims[next++]);
    View(context, dims_);
  }
};

constexpr OpEntry kEntries[] = {
    {"", "Reshape", &MakeOf<ReshapeOp>},
    {"", "Flatten", &MakeOf<FlattenOp>},
    {"", "Squeeze", &MakeOf<SqueezeOp>},
    {"", "Unsqueeze", &MakeOf<UnsqueezeOp>},
};

}  // namespace

std::span<const OpEntry> ReshapeOps() { return kEntries; }

}  // namespace espalier::runtime
