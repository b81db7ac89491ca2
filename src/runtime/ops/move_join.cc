#include <algorithm>
#include <cstring>

#include "runtime/ops/move.h"

namespace espalier::runtime {
namespace {

class ConcatOp final : public Op {
 public:
  explicit ConcatOp(const OpBuild& build) : axis_(build.Int("axis", 1)) {
    if (build.node().inputs.empty()) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} has no inputs", NodeText(build.node())));
    }
  }

  void Run(OpContext& context) override {
    const Value& first = context.Input(0);
    const std::size_t axis = CheckedAxis(axis_, first.rank());
    dims_ = first.dims;
    for (std::size_t i = 1; i < context.InputCount(); ++i) {
      const Value& x = context.Input(i);
      CheckSameType(first, x);
      bool fits = x.rank() == first.rank();
      for (std::size_t k = 0; fits && k < x.rank(); ++k) {
        fits = k == axis || x.dims[k] == first.dims[k];
      }
      if (!fits) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("inputs of shapes {} and {} joined along axis {}",
                                DimsText(first.dims), DimsText(x.dims), axis));
      }
      if (__builtin_add_overflow(dims_[axis], x.dims[axis], &dims_[axis])) {
        throw Error(ErrorCode::kBadFile, "the joined axis is too long");
      }
    }
    Value& out = context.Output(0, first.dtype, dims_);
    const auto outer = static_cast<std::int64_t>(Product(dims_, 0, axis));
    const auto inner = static_cast<std::int64_t>(Product(dims_, axis + 1, dims_.size()));
    const std::size_t bytes = ElementBytes(first.dtype);
    std::byte* to = out.data;
    for (std::size_t i = 0; i < context.InputCount(); ++i) {
      const Value& x = context.Input(i);
      const std::int64_t row = x.dims[axis] * inner;
      // The memory plan may have put the input there already.
      if (x.data != to || outer != 1) {
        copy_.Reset(bytes);
        copy_.Add(outer, row, dims_[axis] * inner);
        copy_.Add(row, 1, 1);
        copy_.Run(context.threads(), x.data, to);
      }
      to += static_cast<std::size_t>(row) * bytes;
    }
  }

 private:
  const std::int64_t axis_;
  Dims dims_;
  StridedCopy copy_;
};

class SplitOp final : public Op {
 public:
  explicit SplitOp(const OpBuild& build)
      : by_attribute_(build.opset() < 13),
        axis_(build.Int("axis", 0)),
        parts_(build.Int("num_outputs", 0)),
        given_(build.Ints("split", {})) {
    if (parts_ < 0) {
      throw Error(ErrorCode::kBadFile, fmt::format("num_outputs is {}", parts_));
    }
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    const std::size_t axis = CheckedAxis(axis_, x.rank());
    FindSizes(context, x.dims[axis]);
    const auto outer = static_cast<std::int64_t>(Product(x.dims, 0, axis));
    const auto inner = static_cast<std::int64_t>(Product(x.dims, axis + 1, x.rank()));
    const std::size_t bytes = ElementBytes(x.dtype);
    dims_ = x.dims;
    std::size_t offset = 0;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      dims_[axis] = sizes_[i];
      const std::int64_t row = sizes_[i] * inner;
      if (!context.HasOutput(i)) {
        // Nobody wants this part.
      } else if (outer == 1) {
        context.OutputView(i, 0, x.dtype, dims_, offset);
      } else {
        Value& out = context.Output(i, x.dtype, dims_);
        copy_.Reset(bytes);
        copy_.Add(outer, x.dims[axis] * inner, row);
        copy_.Add(row, 1, 1);
        copy_.Run(context.threads(), x.data + offset, out.data);
      }
      offset += static_cast<std::size_t>(row) * bytes;
    }
  }

 private:
  void FindSizes(const OpContext& context, std::int64_t size) {
    const std::size_t count = context.OutputCount();
    if (context.HasInput(1)) {
      ReadInts(context, 1, &sizes_);
    } else if (by_attribute_ && !given_.empty()) {
      sizes_ = given_;
    } else {
      const std::int64_t parts = parts_ > 0 ? parts_ : static_cast<std::int64_t>(count);
      if (static_cast<std::size_t>(parts) != count) Refuse(size, count);
      // The last part is the smaller one; only num_outputs allows that.
      const std::int64_t even = size / parts + (size % parts != 0 ? 1 : 0);
      if (parts_ == 0 && size % parts != 0) Refuse(size, count);
      sizes_.assign(count, even);
      std::int64_t left = size;
      for (std::int64_t& part : sizes_) {
        part = std::min(part, left);
        left -= part;
      }
      return;
    }
    std::int64_t left = size;
    for (const std::int64_t part : sizes_) {
      if (part < 0 || part > left) Refuse(size, count);
      left -= part;
    }
    if (left != 0 || sizes_.size() != count) Refuse(size, count);
  }

  [[noreturn]] void Refuse(std::int64_t size, std::size_t count) const {
    throw Error(ErrorCode::kBadFile, fmt::format("an axis of {} is split into {} outputs of [{}]",
                                                 size, count, fmt::join(sizes_, ", ")));
  }

  const bool by_attribute_;
  const std::int64_t axis_;
  const std::int64_t parts_;
  const std::vector<std::int64_t> given_;
  std::vector<std::int64_t> sizes_;
  Dims dims_;
  StridedCopy copy_;
};

class SliceOp final : public Op {
 public:
  explicit SliceOp(const OpBuild& build)
      : by_attribute_(build.opset() < 10),
        starts_(build.Ints("starts", {})),
        ends_(build.Ints("ends", {})),
        axes_(build.Ints("axes", {})),
        has_axes_(!axes_.empty()) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    ReadRanges(context);
    dims_ = x.dims;
    first_.assign(x.rank(), 0);
    step_.assign(x.rank(), 1);
    seen_.assign(x.rank(), 0);
    for (std::size_t i = 0; i < starts_.size(); ++i) {
      const std::size_t axis =
          CheckedAxis(has_axes_ ? axes_[i] : static_cast<std::int64_t>(i), x.rank());
      if (seen_[axis] != 0) {
        throw Error(ErrorCode::kBadFile, fmt::format("axis {} comes twice", axis));
      }
      seen_[axis] = 1;
      SetRange(axis, x.dims[axis], starts_[i], ends_[i], steps_[i]);
    }
    Copy(context, x);
  }

 private:
  void ReadRanges(const OpContext& context) {
    if (!by_attribute_) {
      ReadInts(context, 1, &starts_);
      ReadInts(context, 2, &ends_);
      has_axes_ = context.HasInput(3);
      if (has_axes_) ReadInts(context, 3, &axes_);
    }
    if (!by_attribute_ && context.HasInput(4)) {
      ReadInts(context, 4, &steps_);
    } else {
      steps_.assign(starts_.size(), 1);
    }
    if (ends_.size() != starts_.size() || steps_.size() != starts_.size() ||
        (has_axes_ && axes_.size() != starts_.size())) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} starts, {} ends, {} steps, {} axes", starts_.size(), ends_.size(),
                              steps_.size(), axes_.size()));
    }
  }

  void SetRange(std::size_t axis, std::int64_t size, std::int64_t start, std::int64_t end,
                std::int64_t step) {
    if (step == 0) throw Error(ErrorCode::kBadFile, "a step of 0");
    if (start < 0) start += size;
    if (end < 0) end += size;
    std::int64_t count = 0;
    if (step > 0) {
      start = std::clamp<std::int64_t>(start, 0, size);
      end = std::clamp<std::int64_t>(end, 0, size);
      if (end > start) count = (end - start - 1) / step + 1;
    } else {
      start = std::clamp<std::int64_t>(start, -1, size - 1);
      end = std::clamp<std::int64_t>(end, -1, size - 1);
      step = std::max(step, -std::max<std::int64_t>(size, 1));  // may be the lowest number
      if (start > end) count = (start - end - 1) / -step + 1;
    }
    dims_[axis] = count;
    first_[axis] = count > 0 ? start : 0;
    step_[axis] = count > 1 ? step : 1;
  }

  void Copy(OpContext& context, const Value& x) {
    StridesOf(x.dims, &strides_);
    std::int64_t offset = 0;
    // One run of the input: single elements of the first axes, a range of one, then whole axes.
    bool is_run = true;
    bool in_range = false;
    for (std::size_t i = 0; i < x.rank(); ++i) {
      offset += first_[i] * strides_[i];
      if (in_range) {
        is_run = is_run && dims_[i] == x.dims[i] && step_[i] == 1;
      } else if (dims_[i] != 1) {
        in_range = true;
        is_run = step_[i] == 1;
      }
    }
    const std::size_t bytes = ElementBytes(x.dtype);
    const auto byte_offset = static_cast<std::size_t>(offset) * bytes;
    const std::int64_t count = ElementCount(dims_);
    if (is_run || count == 0) {
      context.OutputView(0, 0, x.dtype, dims_, count == 0 ? 0 : byte_offset);
      return;
    }
    Value& out = context.Output(0, x.dtype, dims_);
    StridesOf(dims_, &out_strides_);
    copy_.Reset(bytes);
    for (std::size_t i = 0; i < x.rank(); ++i) {
      copy_.Add(dims_[i], strides_[i] * step_[i], out_strides_[i]);
    }
    copy_.Run(context.threads(), x.data + byte_offset, out.data);
  }

  const bool by_attribute_;
  std::vector<std::int64_t> starts_, ends_, axes_, steps_;
  bool has_axes_;
  std::vector<std::int64_t> first_, step_, strides_, out_strides_;
  std::vector<char> seen_;
  Dims dims_;
  StridedCopy copy_;
};

constexpr OpEntry kEntries[] = {
    {"", "Concat", &MakeOf<ConcatOp>},
    {"", "Split", &MakeOf<SplitOp>},
    {"", "Slice", &MakeOf<SliceOp>},
};

}  // namespace

std::span<const OpEntry> JoinOps() { return kEntries; }

}  // namespace espalier::runtime
