#include <algorithm>
#include <array>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

// Which of two elements wins: the larger or smaller; of equal ones the first or the last.
enum class Pick : unsigned char { kFirstMax, kLastMax, kFirstMin, kLastMin };

template <Pick kPick, typename T>
bool Wins(T candidate, T best) {
  if constexpr (kPick == Pick::kFirstMax) return candidate > best;
  if constexpr (kPick == Pick::kLastMax) return candidate >= best;
  if constexpr (kPick == Pick::kFirstMin) return candidate < best;
  if constexpr (kPick == Pick::kLastMin) return candidate <= best;
}

// x is [outer, size, inner], out [outer, inner]; size > 0.
struct ArgShape {
  std::size_t outer;
  std::size_t size;
  std::size_t inner;
};

template <Pick kPick, typename T>
std::int64_t ArgOfRow(const T* x, std::size_t size) {
  T best = x[0];
  std::size_t at = 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (!Wins<kPick>(x[i], best)) continue;
    best = x[i];
    at = i;
  }
  return static_cast<std::int64_t>(at);
}

// Columns side by side, in pieces that stay in the first-level cache.
template <Pick kPick, typename T>
void ArgOfColumns(const T* x, const ArgShape& shape, std::int64_t* out) {
  constexpr std::size_t kColumns = 256;
  std::array<T, kColumns> best;
  for (std::size_t begin = 0; begin < shape.inner; begin += kColumns) {
    const std::size_t count = std::min(kColumns, shape.inner - begin);
    std::copy_n(x + begin, count, best.begin());
    std::fill_n(out + begin, count, 0);
    for (std::size_t i = 1; i < shape.size; ++i) {
      const T* row = x + i * shape.inner + begin;
      for (std::size_t j = 0; j < count; ++j) {
        const bool wins = Wins<kPick>(row[j], best[j]);
        best[j] = wins ? row[j] : best[j];
        out[begin + j] = wins ? static_cast<std::int64_t>(i) : out[begin + j];
      }
    }
  }
}

template <Pick kPick, typename T>
void ArgRange(const T* x, const ArgShape& shape, std::size_t begin, std::size_t end,
              std::int64_t* out) {
  for (std::size_t o = begin; o < end; ++o) {
    const T* slice = x + o * shape.size * shape.inner;
    if (shape.inner == 1) {
      out[o] = ArgOfRow<kPick>(slice, shape.size);
    } else {
      ArgOfColumns<kPick>(slice, shape, out + o * shape.inner);
    }
  }
}

template <Pick kPick>
void Arg(int threads, const Value& x, const ArgShape& shape, std::int64_t* out) {
  Dispatch(Join<NumberTypes, NarrowTypes>(), x.dtype, [&]<typename T>() {
    const T* data = x.As<T>();
    if (threads <= 1 || shape.outer * shape.size * shape.inner < kParallelElements) {
      return ArgRange<kPick>(data, shape, 0, shape.outer, out);
    }
    const auto parts = static_cast<std::size_t>(threads);
    ThreadPool::Shared().Run(threads, parts, [&](std::size_t i) {
      ArgRange<kPick>(data, shape, shape.outer * i / parts, shape.outer * (i + 1) / parts, out);
    });
  });
}

class ArgOp final : public Op {
 public:
  ArgOp(const OpBuild& build, bool largest)
      : axis_(build.Int("axis", 0)),
        keepdims_(build.Int("keepdims", 1) != 0),
        largest_(largest),
        last_(build.Int("select_last_index", 0) != 0) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    const std::size_t axis = CheckedAxis(axis_, x.rank());
    dims_ = x.dims;
    dims_[axis] = 1;
    if (!keepdims_) dims_.erase(dims_.begin() + static_cast<std::ptrdiff_t>(axis));
    Value& out = context.Output(0, DType::kInt64, dims_);
    if (out.Elements() == 0) return;
    if (x.dims[axis] == 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("axis {} of {} has no elements", axis, DimsText(x.dims)));
    }
    const ArgShape shape = {Product(x.dims, 0, axis), static_cast<std::size_t>(x.dims[axis]),
                            Product(x.dims, axis + 1, x.rank())};
    auto* to = out.As<std::int64_t>();
    if (largest_) {
      last_ ? Arg<Pick::kLastMax>(context.threads(), x, shape, to)
            : Arg<Pick::kFirstMax>(context.threads(), x, shape, to);
    } else {
      last_ ? Arg<Pick::kLastMin>(context.threads(), x, shape, to)
            : Arg<Pick::kFirstMin>(context.threads(), x, shape, to);
    }
  }

 private:
  const std::int64_t axis_;
  const bool keepdims_;
  const bool largest_;
  const bool last_;
  Dims dims_;
};

constexpr OpEntry kEntries[] = {
    {"", "ArgMax",
     [](const OpBuild& build) -> std::unique_ptr<Op> {
       return std::make_unique<ArgOp>(build, true);
     }},
    {"", "ArgMin",
     [](const OpBuild& build) -> std::unique_ptr<Op> {
       return std::make_unique<ArgOp>(build, false);
     }},
};

}  // namespace

std::span<const OpEntry> ArgOps() { return kEntries; }

}  // namespace espalier::runtime
