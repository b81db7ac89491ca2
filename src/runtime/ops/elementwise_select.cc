#include <algorithm>
#include <cstring>
#include <limits>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {
namespace {

class WhereOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const Value& condition = InputOf(context, 0, DType::kBool);
    const Value& a = context.Input(1);
    const Value& b = context.Input(2);
    CheckSameType(a, b);
    const Dims* const operands[] = {&condition.dims, &a.dims, &b.dims};
    broadcast_.Plan(operands);
    Value& out = context.Output(0, a.dtype, broadcast_.dims());
    DispatchSize(ElementBytes(a.dtype), [&]<typename T>() {
      const T* x = a.As<T>();
      const T* y = b.As<T>();
      T* z = out.As<T>();
      const auto* c = condition.As<std::uint8_t>();
      broadcast_.Run(context.threads(),
                     [&](const auto& first, std::size_t begin, std::size_t count) {
                       const std::size_t c_step = broadcast_.step(0);
                       const std::size_t x_step = broadcast_.step(1);
                       const std::size_t y_step = broadcast_.step(2);
                       for (std::size_t i = 0; i < count; ++i) {
                         const T if_true = x[first[1] + i * x_step];
                         const T if_false = y[first[2] + i * y_step];
                         z[begin + i] = c[first[0] + i * c_step] != 0 ? if_true : if_false;
                       }
                     });
    });
  }

 private:
  Broadcast broadcast_;
};

// NaN stays; if low > high, the result is high.
template <typename T>
void ClipRun(const T* x, T low, T high, T* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const T raised = x[i] < low ? low : x[i];
    out[i] = raised > high ? high : raised;
  }
}

class ClipOp final : public FloatOp {
 public:
  explicit ClipOp(const OpBuild& build)
      : by_inputs_(build.opset() >= 11),
        low_(build.Float("min", std::numeric_limits<float>::lowest())),
        high_(build.Float("max", std::numeric_limits<float>::max())) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    Value& out = context.Output(0, x.dtype, x.dims);
    Dispatch(NumberTypes(), x.dtype, [&]<typename T>() {
      T low = std::numeric_limits<T>::lowest();
      T high = std::numeric_limits<T>::max();
      if (by_inputs_) {
        low = Bound(context, 1, x, low);
        high = Bound(context, 2, x, high);
      } else if constexpr (std::is_floating_point_v<T>) {
        low = static_cast<T>(low_);
        high = static_cast<T>(high_);
      }
      Clip(context.threads(), x.As<T>(), low, high, out.As<T>(), x.Elements());
    });
  }

 private:
  template <typename T>
  static T Bound(const OpContext& context, std::size_t i, const Value& x, T fallback) {
    if (!context.HasInput(i)) return fallback;
    const Value& bound = InputOf(context, i, x.dtype);
    if (bound.Elements() == 1) return *bound.As<T>();
    throw Error(ErrorCode::kBadFile,
                fmt::format("a bound of {} elements, expected one", bound.Elements()));
  }

  template <typename T>
  static void Clip(int threads, const T* x, T low, T high, T* out, std::size_t count) {
    if (threads <= 1 || count < kParallelElements) return ClipRun(x, low, high, out, count);
    const auto parts = static_cast<std::size_t>(threads);
    ThreadPool::Shared().Run(threads, parts, [&](std::size_t i) {
      const std::size_t begin = PartBegin(count, parts, i);
      ClipRun(x + begin, low, high, out + begin, PartBegin(count, parts, i + 1) - begin);
    });
  }

  const bool by_inputs_;
  const float low_;
  const float high_;
};

class IdentityOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    context.OutputView(0, 0, x.dtype, x.dims);
  }
};

class DropoutOp final : public Op {
 public:
  explicit DropoutOp(const OpBuild& build) : bool_mask_(build.opset() >= 10) {
    const auto& inputs = build.node().inputs;
    if (inputs.size() < 3 || inputs[2].empty()) return;
    const int training = ConstantIndex(build.graph()).Find(build.scope(), inputs[2]);
    const auto index = static_cast<std::size_t>(training);
    if (training < 0 ||
        build.graph().constants[index].tensor.AsInts() != std::vector<std::int64_t>{0}) {
      build.Refuse("training mode");
    }
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    context.OutputView(0, 0, x.dtype, x.dims);
    if (!context.HasOutput(1)) return;
    const DType dtype = bool_mask_ ? DType::kBool : x.dtype;
    Value& mask = context.Output(1, dtype, x.dims);
    Dispatch(Join<Join<FloatTypes, NarrowTypes>, TypeList<Bool>>(), dtype,
             [&]<typename T>() { std::fill_n(mask.As<T>(), mask.Elements(), T(1)); });
  }

 private:
  const bool bool_mask_;
};

template <typename T>
std::unique_ptr<Op> Make(const OpBuild& build) {
  if constexpr (std::is_constructible_v<T, const OpBuild&>) {
    return std::make_unique<T>(build);
  } else {
    return std::make_unique<T>();
  }
}

constexpr OpEntry kEntries[] = {
    {"", "Where", &Make<WhereOp>},
    {"", "Clip", &Make<ClipOp>},
    {"", "Identity", &Make<IdentityOp>},
    {"", "Dropout", &Make<DropoutOp>},
};

}  // namespace

std::span<const OpEntry> SelectOps() { return kEntries; }

}  // namespace espalier::runtime
