#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/ops/broadcast.h"
#include "runtime/ops/move.h"

namespace espalier::runtime {
namespace {

class TransposeOp final : public Op {
 public:
  explicit TransposeOp(const OpBuild& build)
      : reverses_(!build.Has("perm")), order_(build.Ints("perm", {})) {
    std::vector<std::int64_t> sorted = order_;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      if (sorted[i] == static_cast<std::int64_t>(i)) continue;
      throw Error(ErrorCode::kBadFile,
                  fmt::format("[{}] is no order of axes", fmt::join(order_, ", ")));
    }
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (reverses_) {
      order_.resize(x.rank());
      for (std::size_t i = 0; i < x.rank(); ++i) {
        order_[i] = static_cast<std::int64_t>(x.rank() - 1 - i);
      }
    }
    if (order_.size() != x.rank()) {
      throw Error(ErrorCode::kBadFile, fmt::format("an order of {} axes for a tensor of rank {}",
                                                   order_.size(), x.rank()));
    }
    dims_.resize(x.rank());
    for (std::size_t i = 0; i < x.rank(); ++i) dims_[i] = x.dims[At(i)];
    if (KeepsOrder(x)) {
      context.OutputView(0, 0, x.dtype, dims_);
      return;
    }
    Value& out = context.Output(0, x.dtype, dims_);
    StridesOf(x.dims, &strides_);
    StridesOf(dims_, &out_strides_);
    copy_.Reset(ElementBytes(x.dtype));
    for (std::size_t i = 0; i < x.rank(); ++i) {
      copy_.Add(dims_[i], strides_[At(i)], out_strides_[i]);
    }
    copy_.Run(context.threads(), x.data, out.data);
  }

 private:
  std::size_t At(std::size_t i) const { return static_cast<std::size_t>(order_[i]); }

  // Whether only axes of size 1 move.
  bool KeepsOrder(const Value& x) const {
    std::int64_t last = -1;
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (x.dims[At(i)] == 1) continue;
      if (order_[i] < last) return false;
      last = order_[i];
    }
    return true;
  }

  const bool reverses_;
  std::vector<std::int64_t> order_;
  std::vector<std::int64_t> strides_, out_strides_;
  Dims dims_;
  StridedCopy copy_;
};

class ExpandOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    ReadInts(context, 1, &shape_);
    const Dims* const operands[] = {&x.dims, &shape_};
    broadcast_.Plan(operands);
    const Dims& dims = broadcast_.dims();
    if (dims == x.dims || broadcast_.count() == x.Elements()) {
      context.OutputView(0, 0, x.dtype, dims);
      return;
    }
    Value& out = context.Output(0, x.dtype, dims);
    StridesOf(x.dims, &strides_);
    StridesOf(dims, &out_strides_);
    const std::size_t added = dims.size() - x.rank();
    copy_.Reset(ElementBytes(x.dtype));
    for (std::size_t i = 0; i < dims.size(); ++i) {
      const bool repeats = i < added || x.dims[i - added] == 1;
      copy_.Add(dims[i], repeats ? 0 : strides_[i - added], out_strides_[i]);
    }
    copy_.Run(context.threads(), x.data, out.data);
  }

 private:
  std::vector<std::int64_t> shape_, strides_, out_strides_;
  Broadcast broadcast_;
  StridedCopy copy_;
};

class TileOp final : public Op {
 public:
  explicit TileOp(const OpBuild& build) : first_form_(build.opset() < 6) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (first_form_) {  // a number of tiles along one axis
      repeats_.assign(x.rank(), 1);
      const auto tiles = static_cast<std::int64_t>(ReadNumber(context.Input(1)));
      const auto axis = static_cast<std::int64_t>(ReadNumber(context.Input(2)));
      repeats_[CheckedAxis(axis, x.rank())] = tiles;
    } else {
      ReadInts(context, 1, &repeats_);
    }
    if (repeats_.size() != x.rank()) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} repeats for a tensor of rank {}", repeats_.size(), x.rank()));
    }
    dims_ = x.dims;
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (repeats_[i] < 0 || __builtin_mul_overflow(dims_[i], repeats_[i], &dims_[i])) {
        throw Error(ErrorCode::kBadFile, fmt::format("{} repeats of {}", repeats_[i], x.dims[i]));
      }
    }
    if (dims_ == x.dims) {
      context.OutputView(0, 0, x.dtype, dims_);
      return;
    }
    Value& out = context.Output(0, x.dtype, dims_);
    StridesOf(x.dims, &strides_);
    StridesOf(dims_, &out_strides_);
    copy_.Reset(ElementBytes(x.dtype));
    for (std::size_t i = 0; i < x.rank(); ++i) {
      copy_.Add(repeats_[i], 0, out_strides_[i] * x.dims[i]);
      copy_.Add(x.dims[i], strides_[i], out_strides_[i]);
    }
    copy_.Run(context.threads(), x.data, out.data);
  }

 private:
  const bool first_form_;
  std::vector<std::int64_t> repeats_, strides_, out_strides_;
  Dims dims_;
  StridedCopy copy_;
};

// Both ways between [N, C, H, W] and blocks of b x b positions as channels.
class DepthSpaceOp final : public Op {
 public:
  explicit DepthSpaceOp(const OpBuild& build)
      : to_space_(build.node().op_type == "DepthToSpace"), block_(build.Int("blocksize", 0)) {
    const std::string mode = build.String("mode", "DCR");
    if (mode != "DCR" && mode != "CRD") build.Refuse(fmt::format("the mode '{}'", mode));
    columns_first_ = mode == "CRD";
    if (block_ < 1 || block_ > kMaxBlock) {
      throw Error(ErrorCode::kBadFile, fmt::format("a blocksize of {}", block_));
    }
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    const std::int64_t b = block_;
    const bool fits = x.rank() == 4 && (to_space_ ? x.dims[1] % (b * b) == 0
                                                  : x.dims[2] % b == 0 && x.dims[3] % b == 0);
    if (!fits) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("shape {} with blocks of {}", DimsText(x.dims), b));
    }
    if (to_space_) {
      dims_ = {x.dims[0], x.dims[1] / (b * b), x.dims[2] * b, x.dims[3] * b};
    } else {
      dims_ = {x.dims[0], x.dims[1] * b * b, x.dims[2] / b, x.dims[3] / b};
    }
    Value& out = context.Output(0, x.dtype, dims_);
    // The space side is [n, c, h, by, w, bx]; the depth side [n, by, bx, c, h, w] or, columns
    // first, [n, c, by, bx, h, w].
    const std::int64_t c = to_space_ ? dims_[1] : x.dims[1];
    const std::int64_t h = to_space_ ? x.dims[2] : dims_[2];
    const std::int64_t w = to_space_ ? x.dims[3] : dims_[3];
    const std::int64_t plane = h * w;
    const std::int64_t depth_c = columns_first_ ? b * b * plane : plane;
    const std::int64_t depth_bx = columns_first_ ? plane : c * plane;
    struct Axis {
      std::int64_t size, space, depth;
    };
    const Axis axes[] = {{x.dims[0], c * plane * b * b, c * plane * b * b},
                         {c, plane * b * b, depth_c},
                         {h, b * w * b, w},
                         {b, w * b, b * depth_bx},
                         {w, b, 1},
                         {b, 1, depth_bx}};
    copy_.Reset(ElementBytes(x.dtype));
    if (to_space_) {
      for (const Axis& axis : axes) copy_.Add(axis.size, axis.depth, axis.space);
    } else {
      constexpr int kOrders[][6] = {{0, 3, 5, 1, 2, 4}, {0, 1, 3, 5, 2, 4}};  // as the depth side
      for (const int i : kOrders[columns_first_ ? 1 : 0]) {
        copy_.Add(axes[i].size, axes[i].space, axes[i].depth);
      }
    }
    copy_.Run(context.threads(), x.data, out.data);
  }

 private:
  static constexpr std::int64_t kMaxBlock = 1 << 15;
  const bool to_space_;
  const std::int64_t block_;
  bool columns_first_ = false;
  Dims dims_;
  StridedCopy copy_;
};

class ReverseSequenceOp final : public Op {
 public:
  explicit ReverseSequenceOp(const OpBuild& build)
      : batch_axis_(build.Int("batch_axis", 1)), time_axis_(build.Int("time_axis", 0)) {
    const bool batch_first = batch_axis_ == 0 && time_axis_ == 1;
    if (!batch_first && (batch_axis_ != 1 || time_axis_ != 0)) {
      throw Error(ErrorCode::kBadFile, fmt::format("batch_axis {} and time_axis {}, expected 0, 1",
                                                   batch_axis_, time_axis_));
    }
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    ReadInts(context, 1, &lengths_);
    if (x.rank() < 2 || static_cast<std::int64_t>(lengths_.size()) !=
                            x.dims[static_cast<std::size_t>(batch_axis_)]) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} lengths for shape {}", lengths_.size(), DimsText(x.dims)));
    }
    Value& out = context.Output(0, x.dtype, x.dims);
    const std::int64_t batch = x.dims[static_cast<std::size_t>(batch_axis_)];
    const std::int64_t time = x.dims[static_cast<std::size_t>(time_axis_)];
    const std::size_t row = Product(x.dims, 2, x.rank()) * ElementBytes(x.dtype);
    const auto row_of = [&](std::int64_t b, std::int64_t t) {
      return static_cast<std::size_t>(time_axis_ == 0 ? t * batch + b : b * time + t) * row;
    };
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = lengths_[static_cast<std::size_t>(b)];
      if (length < 0 || length > time) {
        throw Error(ErrorCode::kBadFile, fmt::format("a length of {} of {}", length, time));
      }
      for (std::int64_t t = 0; t < time; ++t) {
        const std::int64_t source = t < length ? length - 1 - t : t;
        std::copy_n(x.data + row_of(b, source), row, out.data + row_of(b, t));
      }
    }
  }

 private:
  const std::int64_t batch_axis_;
  const std::int64_t time_axis_;
  std::vector<std::int64_t> lengths_;
};

constexpr OpEntry kEntries[] = {
    {"", "Transpose", &MakeOf<TransposeOp>},
    {"", "Expand", &MakeOf<ExpandOp>},
    {"", "Tile", &MakeOf<TileOp>},
    {"", "DepthToSpace", &MakeOf<DepthSpaceOp>},
    {"", "SpaceToDepth", &MakeOf<DepthSpaceOp>},
    {"", "ReverseSequence", &MakeOf<ReverseSequenceOp>},
};

}  // namespace

std::span<const OpEntry> PermuteOps() { return kEntries; }

}  // namespace espalier::runtime
