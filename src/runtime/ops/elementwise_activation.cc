#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "espalier/kernels/rows.h"
#include "runtime/ops/elementwise_binary.h"
#include "runtime/ops/elementwise_unary.h"

namespace espalier::runtime {
namespace {

// Comparisons are written so that NaN stays NaN.

#define ESPALIER_ACTIVATION(name, expression)                         \
  struct name {                                                       \
    template <typename T>                                             \
    static T Of(T x, [[maybe_unused]] const UnaryNumbers& numbers) {  \
      [[maybe_unused]] const T alpha = static_cast<T>(numbers.alpha); \
      [[maybe_unused]] const T beta = static_cast<T>(numbers.beta);   \
      return expression;                                              \
    }                                                                 \
  }
ESPALIER_ACTIVATION(ReluOf, x < T(0) ? T(0) : x);
ESPALIER_ACTIVATION(LeakyReluOf, x < T(0) ? alpha * x : x);
ESPALIER_ACTIVATION(ThresholdedReluOf, x <= alpha ? T(0) : x);
ESPALIER_ACTIVATION(EluOf, x < T(0) ? alpha * std::expm1(x) : x);
ESPALIER_ACTIVATION(SeluOf, beta*(x <= T(0) ? alpha * std::expm1(x) : x));
ESPALIER_ACTIVATION(CeluOf, x < T(0) ? alpha * std::expm1(x / alpha) : x);
ESPALIER_ACTIVATION(SigmoidOf, T(1) / (T(1) + std::exp(-x)));
ESPALIER_ACTIVATION(TanhOf, std::tanh(x));
ESPALIER_ACTIVATION(SoftsignOf, x / (T(1) + std::abs(x)));
#undef ESPALIER_ACTIVATION

template <typename T>
T Unit(T x) {  // clamped to [0, 1]
  return x < T(0) ? T(0) : (x > T(1) ? T(1) : x);
}

template <typename T>
T SoftplusOf1(T x) {  // log(1 + e^x) without overflow
  return x > T(0) ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

struct HardSigmoidOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers& numbers) {
    return Unit(static_cast<T>(numbers.alpha) * x + static_cast<T>(numbers.beta));
  }
};
struct HardSwishOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    return x * Unit(x / T(6) + T(0.5));
  }
};
struct SoftplusOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    return SoftplusOf1(x);
  }
};
struct MishOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    return x * std::tanh(SoftplusOf1(x));
  }
};
struct QuickGeluOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers& numbers) {
    return x / (T(1) + std::exp(-static_cast<T>(numbers.alpha) * x));
  }
};

// alpha: lambd, beta: bias. Integers go by way of double: their attributes need not be whole.
struct ShrinkOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers& numbers) {
    using F = std::conditional_t<std::is_same_v<T, float>, float, double>;
    const F value = static_cast<F>(x);
    const F lambd = static_cast<F>(numbers.alpha);
    const F bias = static_cast<F>(numbers.beta);
    const F moved = value < -lambd ? value + bias : (value > lambd ? value - bias : F(0));
    if constexpr (std::is_floating_point_v<T>) return x != x ? x : moved;
    constexpr F kTop = sizeof(T) == 8 ? F(0x1p62) : F(std::numeric_limits<T>::max());
    constexpr F kBottom = F(std::numeric_limits<T>::min());
    return static_cast<T>(std::min(std::max(moved, kBottom), kTop));
  }
};

struct GeluOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    return T(0.5) * x * (T(1) + std::erf(x * (T(1) / std::numbers::sqrt2_v<T>)));
  }
};
struct TanhGeluOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    const T inner = T(0.7978845608028654) * (x + T(0.044715) * x * x * x);  // sqrt(2 / pi)
    return T(0.5) * x * (T(1) + std::tanh(inner));
  }
};

// The vector kernels work in place: block by block, so that the copy stays in the first cache.
template <ActivationKind kKind>
void RunKernel(const UnaryNumbers& numbers, const std::byte* x, std::byte* out, std::size_t count) {
  constexpr std::size_t kBlock = 2048;
  const Activation activation{kKind, numbers.alpha, numbers.beta};
  auto* to = reinterpret_cast<float*>(out);
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t run = std::min(kBlock, count - begin);
    std::memcpy(to + begin, x + begin * sizeof(float), run * sizeof(float));
    ActivateRow(activation, nullptr, to + begin, run);
  }
}

template <typename F>
constexpr UnaryTable kFloat = MakeUnaryTable<F>(FloatTypes());

template <typename F, ActivationKind kKind>
constexpr UnaryTable kVector = [] {
  UnaryTable table = kFloat<F>;
  table.Set(DType::kFloat32, &RunKernel<kKind>);
  return table;
}();

constexpr UnaryTable kRelu = MakeUnaryTable<ReluOf>(Join<FloatTypes, SignedTypes>());
constexpr UnaryTable kShrink = MakeUnaryTable<ShrinkOf>(NumberTypes());

struct Defaults {
  float alpha;
  float beta;
};

template <const UnaryTable& kTable, Defaults kDefaults>
std::unique_ptr<Op> MakeWithNumbers(const OpBuild& build) {
  return std::make_unique<UnaryOp>(kTable, UnaryNumbers{build.Float("alpha", kDefaults.alpha),
                                                        build.Float("beta", kDefaults.beta)});
}

std::unique_ptr<Op> MakeHardSwish(const OpBuild&) {
  return std::make_unique<UnaryOp>(kVector<HardSwishOf, ActivationKind::kHardSwish>,
                                   UnaryNumbers{1.0f / 6, 0.5f});
}

std::unique_ptr<Op> MakeSelu(const OpBuild& build) {
  const bool first = build.opset() < 6;  // with rounded numbers
  return std::make_unique<UnaryOp>(
      kFloat<SeluOf>,
      UnaryNumbers{build.Float("alpha", first ? 1.6732f : 1.67326319217681884765625f),
                   build.Float("gamma", first ? 1.0507f : 1.05070102214813232421875f)});
}

std::unique_ptr<Op> MakeCelu(const OpBuild& build) {
  const float alpha = build.Float("alpha", 1.0f);
  if (alpha == 0) build.Refuse("an alpha of 0");
  return std::make_unique<UnaryOp>(kFloat<CeluOf>, UnaryNumbers{alpha, 0});
}

std::unique_ptr<Op> MakeShrink(const OpBuild& build) {
  return std::make_unique<UnaryOp>(
      kShrink, UnaryNumbers{build.Float("lambd", 0.5f), build.Float("bias", 0.0f)});
}

std::unique_ptr<Op> MakeGelu(const OpBuild& build) {
  const std::string approximate = build.String("approximate", "none");
  if (approximate == "none")
    return std::make_unique<UnaryOp>(kMapped<GeluOf, MapKind::kGelu>, UnaryNumbers());
  if (approximate == "tanh")
    return std::make_unique<UnaryOp>(kMapped<TanhGeluOf, MapKind::kTanhGelu>, UnaryNumbers());
  build.Refuse(fmt::format("the approximation '{}'", approximate));
}

// ---------------------------------------------------------------- Two inputs

struct PReluOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T x, T slope) {
    if constexpr (std::is_integral_v<T>) {
      return x < T(0)
                 ? static_cast<T>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(slope))
                 : x;
    }
    return x < T(0) ? x * slope : x;
  }
};
struct BiasGeluOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T x, T bias) {
    return GeluOf::Of(static_cast<T>(x + bias), UnaryNumbers());
  }
};
struct FastGeluOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T x, T bias) {
    return TanhGeluOf::Of(static_cast<T>(x + bias), UnaryNumbers());
  }
};
constexpr BinaryTable kPRelu = MakeBinaryTable<PReluOf>(NumberTypes());

// The bias first, then the function in its place; blocks that stay in the first cache.
template <MapKind kKind>
void RunBiased(const RunShape& run, const std::byte* a, const std::byte* b, std::byte* out) {
  constexpr std::size_t kBlock = 2048;
  auto* to = reinterpret_cast<float*>(out);
  for (std::size_t begin = 0; begin < run.count; begin += kBlock) {
    const std::size_t count = std::min(kBlock, run.count - begin);
    CombineRow(CombineKind::kAdd, reinterpret_cast<const float*>(a) + begin * run.a_step,
               run.a_step, reinterpret_cast<const float*>(b) + begin * run.b_step, run.b_step,
               to + begin, count);
    MapRow(kKind, to + begin, to + begin, count);
  }
}
template <typename F, MapKind kKind>
constexpr BinaryTable MakeBiasedTable() {
  BinaryTable table = MakeBinaryTable<F>(TypeList<double>());
  table.loops[static_cast<std::size_t>(DType::kFloat32)] = &RunBiased<kKind>;
  return table;
}
constexpr BinaryTable kBiasGelu = MakeBiasedTable<BiasGeluOf, MapKind::kGelu>();
constexpr BinaryTable kFastGelu = MakeBiasedTable<FastGeluOf, MapKind::kTanhGelu>();

std::unique_ptr<Op> MakeFastGelu(const OpBuild& build) {
  const auto& inputs = build.node().inputs;
  if (inputs.size() > 1 && !inputs[1].empty()) return MakeBinary<kFastGelu>(build);
  return MakeUnary<kMapped<TanhGeluOf, MapKind::kTanhGelu>>(build);
}

class PReluOp final : public FloatOp {
 public:
  explicit PReluOp(const OpBuild& build) : by_channel_(build.opset() < 7) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const Value& slope = context.Input(1);
    CheckSameType(x, slope);
    const Dims* slope_dims = &slope.dims;
    // A slope for each channel, with no axes behind it.
    if (by_channel_ && x.rank() > 2 && slope.rank() == 1 && slope.dims[0] != 1) {
      AlignLegacyAxis(x.dims, slope.dims, 1, &aligned_);
      slope_dims = &aligned_;
    }
    const Dims* const operands[] = {&x.dims, slope_dims};
    broadcast_.Plan(operands);
    if (broadcast_.dims() != x.dims) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("slopes of shape {} for {}", DimsText(slope.dims), DimsText(x.dims)));
    }
    Value& out = context.Output(0, x.dtype, x.dims);
    RunLoop(broadcast_, context.threads(), kPRelu.For(x.dtype), x, slope, out);
  }

 private:
  const bool by_channel_;
  Dims aligned_;
  Broadcast broadcast_;
};

std::unique_ptr<Op> MakePRelu(const OpBuild& build) { return std::make_unique<PReluOp>(build); }

constexpr OpEntry kEntries[] = {
    {"", "Relu", &MakeUnary<kRelu>},
    {"", "LeakyRelu",
     &MakeWithNumbers<kVector<LeakyReluOf, ActivationKind::kLeakyRelu>, Defaults{0.01f, 0}>},
    {"", "PRelu", &MakePRelu},
    {"", "ThresholdedRelu", &MakeWithNumbers<kFloat<ThresholdedReluOf>, Defaults{1, 0}>},
    {"", "Elu", &MakeWithNumbers<kFloat<EluOf>, Defaults{1, 0}>},
    {"", "Selu", &MakeSelu},
    {"", "Celu", &MakeCelu},
    {"", "Sigmoid", &MakeUnary<kMapped<SigmoidOf, MapKind::kSigmoid>>},
    {"", "HardSigmoid",
     &MakeWithNumbers<kVector<HardSigmoidOf, ActivationKind::kHardSigmoid>, Defaults{0.2f, 0.5f}>},
    {"", "HardSwish", &MakeHardSwish},
    {"", "Tanh", &MakeUnary<kMapped<TanhOf, MapKind::kTanh>>},
    {"", "Softplus", &MakeUnary<kFloat<SoftplusOf>>},
    {"", "Softsign", &MakeUnary<kFloat<SoftsignOf>>},
    {"", "Mish", &MakeUnary<kFloat<MishOf>>},
    {"", "Shrink", &MakeShrink},
    {"", "Gelu", &MakeGelu},
    {"com.microsoft", "Gelu", &MakeUnary<kMapped<GeluOf, MapKind::kGelu>>},
    {"com.microsoft", "FastGelu", &MakeFastGelu},
    {"com.microsoft", "BiasGelu", &MakeBinary<kBiasGelu>},
    {"com.microsoft", "QuickGelu", &MakeWithNumbers<kFloat<QuickGeluOf>, Defaults{1.702f, 0}>},
};

}  // namespace

std::span<const OpEntry> ActivationOps() { return kEntries; }

}  // namespace espalier::runtime
