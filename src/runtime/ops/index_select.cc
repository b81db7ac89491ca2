#include <algorithm>
#include <cstring>

#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

// The slices along an axis whose flag is set.
class CompressOp final : public Op {
 public:
  explicit CompressOp(const OpBuild& build)
      : has_axis_(build.Has("axis")), axis_(build.Int("axis", 0)) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    const Value& condition = InputOf(context, 1, DType::kBool);
    const std::size_t axis = has_axis_ ? CheckedAxis(axis_, x.rank()) : 0;
    const std::size_t size = has_axis_ ? static_cast<std::size_t>(x.dims[axis]) : x.Elements();
    FindKept(condition, size);
    if (has_axis_) {
      dims_ = x.dims;
    } else {
      dims_.assign(1, 0);
    }
    dims_[axis] = static_cast<std::int64_t>(kept_.size());
    Value& out = context.Output(0, x.dtype, dims_);
    if (out.Elements() == 0) return;
    const std::size_t outer = has_axis_ ? Product(x.dims, 0, axis) : 1;
    const std::size_t inner = has_axis_ ? Product(x.dims, axis + 1, x.rank()) : 1;
    const std::size_t block = inner * ElementBytes(x.dtype);
    std::byte* to = out.data;
    for (std::size_t o = 0; o < outer; ++o) {
      for (const std::size_t i : kept_) {
        std::memcpy(to, x.data + (o * size + i) * block, block);
        to += block;
      }
    }
  }

 private:
  void FindKept(const Value& condition, std::size_t size) {
    if (condition.rank() != 1) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a condition {}, expected a list", DimsText(condition.dims)));
    }
    kept_.clear();
    const Bool* flags = condition.As<Bool>();
    for (std::size_t i = 0; i < condition.Elements(); ++i) {
      if (flags[i]) kept_.push_back(i);
    }
    if (!kept_.empty() && kept_.back() >= size) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("condition {} is set, of {} elements", kept_.back(), size));
    }
  }

  const bool has_axis_;
  const std::int64_t axis_;
  Dims dims_;
  Offsets kept_;
};

// The coordinates of what is not zero, one column each.
class NonZeroOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    found_.clear();
    Dispatch(Join<Join<NumberTypes, NarrowTypes>, TypeList<Bool>>(), x.dtype, [&]<typename T>() {
      const T* elements = x.As<T>();
      const std::size_t count = x.Elements();
      for (std::size_t i = 0; i < count; ++i) {
        if (elements[i] != T(0)) found_.push_back(i);
      }
    });
    dims_.assign({static_cast<std::int64_t>(x.rank()), static_cast<std::int64_t>(found_.size())});
    auto* out = context.Out<std::int64_t>(0, DType::kInt64, dims_);
    for (std::size_t i = 0; i < found_.size(); ++i) {
      std::size_t rest = found_[i];
      for (std::size_t d = x.rank(); d-- > 0;) {
        const auto size = static_cast<std::size_t>(x.dims[d]);
        out[d * found_.size() + i] = static_cast<std::int64_t>(rest % size);
        rest /= size;
      }
    }
  }

 private:
  Dims dims_;
  Offsets found_;
};

class OneHotOp final : public Op {
 public:
  explicit OneHotOp(const OpBuild& build) : axis_(build.Int("axis", -1)) {}

  void Run(OpContext& context) override {
    const Value& indices = context.Input(0);
    const Value& values = context.Input(2);
    const std::size_t axis = CheckedAxis(axis_, indices.rank() + 1);
    const double depth = ReadNumber(context.Input(1));
    if (!(depth >= 1 && depth <= 0x1p48) || values.Elements() != 2) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("depth {} with {} values, expected at least 1 and 2 values", depth,
                              values.Elements()));
    }
    const auto size = static_cast<std::int64_t>(depth);
    dims_ = indices.dims;
    dims_.insert(dims_.begin() + static_cast<std::ptrdiff_t>(axis), size);
    Value& out = context.Output(0, values.dtype, dims_);
    if (out.Elements() == 0) return;
    FindHot(indices, size, Product(indices.dims, axis, indices.rank()));
    DispatchSize(ElementBytes(values.dtype), [&]<typename T>() {
      std::fill_n(out.As<T>(), out.Elements(), values.As<T>()[0]);
      for (const std::size_t offset : hot_) out.As<T>()[offset] = values.As<T>()[1];
    });
  }

 private:
  // Where the output is hot; an index outside [-size, size) makes no place so.
  void FindHot(const Value& indices, std::int64_t size, std::size_t inner) {
    hot_.clear();
    const auto bound = static_cast<double>(size);
    Dispatch(Join<NumberTypes, NarrowTypes>(), indices.dtype, [&]<typename T>() {
      const T* index = indices.As<T>();
      const std::size_t count = indices.Elements();
      for (std::size_t i = 0; i < count; ++i) {
        const auto at = static_cast<double>(index[i]);
        if (!(at >= -bound && at < bound)) continue;  // NaN too
        auto place = static_cast<std::int64_t>(at);
        if (place < 0) place += size;
        hot_.push_back(
            (i / inner * static_cast<std::size_t>(size) + static_cast<std::size_t>(place)) * inner +
            i % inner);
      }
    });
  }

  const std::int64_t axis_;
  Dims dims_;
  Offsets hot_;
};

constexpr OpEntry kEntries[] = {
    {"", "Compress", &MakeOp<CompressOp>},
    {"", "NonZero", &MakeOp<NonZeroOp>},
    {"", "OneHot", &MakeOp<OneHotOp>},
};

}  // namespace

std::span<const OpEntry> SelectionOps() { return kEntries; }

}  // namespace espalier::runtime
