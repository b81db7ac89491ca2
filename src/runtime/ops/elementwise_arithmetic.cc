#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/kernels/map_row.h"
#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {
namespace {

// Arithmetic on integers wraps; small ones would become int, whose overflow is undefined.
template <typename T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, T,
                                std::conditional_t<(sizeof(T) < 4), std::uint32_t, T>>;

struct AddOf {
  static constexpr bool kSignless = true;
  template <typename T>
  static T Of(T a, T b) {
    return static_cast<T>(Wide<T>(a) + Wide<T>(b));
  }
};

struct SubOf {
  static constexpr bool kSignless = true;
  template <typename T>
  static T Of(T a, T b) {
    return static_cast<T>(Wide<T>(a) - Wide<T>(b));
  }
};

struct MulOf {
  static constexpr bool kSignless = true;
  template <typename T>
  static T Of(T a, T b) {
    return static_cast<T>(Wide<T>(a) * Wide<T>(b));
  }
};

// -x without overflow.
template <typename T>
T Negated(T x) {
  return static_cast<T>(std::make_unsigned_t<T>(0) - static_cast<std::make_unsigned_t<T>>(x));
}

// Integers: x / 0 is 0, the lowest / -1 wraps.
struct DivOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Negated(a);
    }
    return static_cast<T>(a / b);
  }
};

// The remainder with the sign of the divisor, as Python has it; x % 0 is 0.
struct ModOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0 || (std::is_signed_v<T> && b == static_cast<T>(-1))) return 0;
      const T rest = static_cast<T>(a % b);
      return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
    } else {
      const T rest = std::fmod(a, b);
      if (rest == 0) return std::copysign(rest, b);
      return (rest < 0) != (b < 0) ? rest + b : rest;
    }
  }
};

// The remainder with the sign of the dividend, as C has it.
struct FmodOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0 || (std::is_signed_v<T> && b == static_cast<T>(-1))) return 0;
      return static_cast<T>(a % b);
    } else {
      return std::fmod(a, b);
    }
  }
};

// NaN in either operand gives NaN.
struct MaxOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T a, T b) {
    if constexpr (std::is_integral_v<T>) return a > b ? a : b;
    return a > b || a != a ? a : b;
  }
};

struct MinOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T a, T b) {
    if constexpr (std::is_integral_v<T>) return a < b ? a : b;
    return a < b || a != a ? a : b;
  }
};

template <typename T>
T IntPow(T base, T exponent) {
  if (std::is_signed_v<T> && exponent < 0) {
    if (base == 1) return 1;
    if (base == static_cast<T>(-1)) return exponent % 2 == 0 ? T(1) : base;
    return 0;
  }
  auto power = static_cast<std::make_unsigned_t<T>>(base);
  std::make_unsigned_t<T> result = 1;
  for (auto bits = static_cast<std::make_unsigned_t<T>>(exponent); bits != 0; bits >>= 1) {
    if (bits & 1) result *= power;
    power *= power;
  }
  return static_cast<T>(result);
}

struct PowOf {
  static constexpr bool kSignless = false;
  template <typename T>
  static T Of(T a, T b) {
    if constexpr (std::is_integral_v<T>) return IntPow(a, b);
    return std::pow(a, b);
  }
};

template <CombineKind kKind>
void RunVector(const RunShape& run, const std::byte* a, const std::byte* b, std::byte* out) {
  CombineRow(kKind, reinterpret_cast<const float*>(a), run.a_step,
             reinterpret_cast<const float*>(b), run.b_step, reinterpret_cast<float*>(out),
             run.count);
}

// All number types, float32 by the vector kernel.
template <typename F, CombineKind kKind>
constexpr BinaryTable MakeVectorTable() {
  BinaryTable table = MakeBinaryTable<F>(Join<TypeList<double>, IntTypes>());
  table.loops[static_cast<std::size_t>(DType::kFloat32)] = &RunVector<kKind>;
  return table;
}

constexpr BinaryTable kAdd = MakeVectorTable<AddOf, CombineKind::kAdd>();
constexpr BinaryTable kSub = MakeVectorTable<SubOf, CombineKind::kSubtract>();
constexpr BinaryTable kMul = MakeVectorTable<MulOf, CombineKind::kMultiply>();
constexpr BinaryTable kDiv = MakeVectorTable<DivOf, CombineKind::kDivide>();
constexpr BinaryTable kMax = MakeVectorTable<MaxOf, CombineKind::kMax>();
constexpr BinaryTable kMin = MakeVectorTable<MinOf, CombineKind::kMin>();
constexpr BinaryTable kMod = MakeBinaryTable<ModOf>(NumberTypes());
constexpr BinaryTable kFmod = MakeBinaryTable<FmodOf>(NumberTypes());
constexpr BinaryTable kPow =
    MakeBinaryTable<PowOf>(TypeList<float, double, std::int32_t, std::int64_t>());

std::unique_ptr<Op> MakeMod(const OpBuild& build) {
  return std::make_unique<BinaryOp>(build, build.Int("fmod", 0) != 0 ? kFmod : kMod);
}

// ---------------------------------------------------------------- Any number of inputs

class VariadicOp final : public FloatOp {
 public:
  VariadicOp(const OpBuild& build, const BinaryTable& table, bool mean)
      : table_(table), mean_(mean) {
    if (build.node().inputs.empty()) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} has no inputs", NodeText(build.node())));
    }
  }

 protected:
  void RunFloat(OpContext& context) override {
    const Value& first = context.Input(0);
    const BinaryLoop loop = table_.For(first.dtype);
    const std::size_t count = context.InputCount();
    dims_ = first.dims;
    for (std::size_t i = 1; i < count; ++i) {
      CheckSameType(first, context.Input(i));
      const Dims* const operands[] = {&dims_, &context.Input(i).dims};
      broadcast_.Plan(operands);
      dims_ = broadcast_.dims();
    }
    Value& out = context.Output(0, first.dtype, dims_);
    if (count == 1) std::copy_n(first.data, first.Bytes(), out.data);
    for (std::size_t i = 1; i < count; ++i) {
      const Value& left = i == 1 ? first : out;
      const Value& right = context.Input(i);
      const Dims* const operands[] = {&left.dims, &right.dims, &dims_};
      broadcast_.Plan(operands);
      RunLoop(broadcast_, context.threads(), loop, left, right, out);
    }
    if (mean_) Divide(out, static_cast<double>(count));
  }

 private:
  static void Divide(Value& out, double divisor) {
    Dispatch(FloatTypes(), out.dtype, [&]<typename T>() {
      const T by = static_cast<T>(divisor);
      T* elements = out.As<T>();
      const std::size_t count = out.Elements();
      for (std::size_t i = 0; i < count; ++i) elements[i] /= by;
    });
  }

  const BinaryTable& table_;
  const bool mean_;
  Dims dims_;
  Broadcast broadcast_;
};

template <const BinaryTable& kTable, bool kMean>
std::unique_ptr<Op> MakeVariadic(const OpBuild& build) {
  return std::make_unique<VariadicOp>(build, kTable, kMean);
}

// ---------------------------------------------------------------- Pow

// x * x and the like, for the exponents that models have; false if it is none of them.
template <typename T>
bool SimplePower(const T* x, T exponent, T* out, std::size_t count) {
  if (exponent == T(2)) {
    for (std::size_t i = 0; i < count; ++i) out[i] = x[i] * x[i];
  } else if (exponent == T(3)) {
    for (std::size_t i = 0; i < count; ++i) out[i] = x[i] * x[i] * x[i];
  } else if (exponent == T(1)) {
    for (std::size_t i = 0; i < count; ++i) out[i] = x[i];
  } else if (exponent == T(-1)) {
    for (std::size_t i = 0; i < count; ++i) out[i] = T(1) / x[i];
  } else if (exponent == T(0.5)) {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = x[i] == -kInfinity ? kInfinity : std::sqrt(x[i] + T(0));
    }
  } else {
    return false;
  }
  return true;
}

// For exponents of another type than the base, and for narrow floats.
template <typename T>
T MixedPow(T base, double exponent) {
  const double power = std::pow(static_cast<double>(base), exponent);
  if constexpr (std::is_integral_v<T>) {
    constexpr double kLimit = sizeof(T) == 8 ? 0x1p63 : 0x1p31;
    if (!(power >= -kLimit && power < kLimit)) return std::numeric_limits<T>::min();
  }
  return static_cast<T>(power);
}

// Not a FloatOp: the result has the type of the base, whatever the exponent's is.
class PowOp final : public Op {
 public:
  explicit PowOp(const OpBuild& build)
      : legacy_axis_(build.opset() < 7 && build.Int("broadcast", 0) != 0 && build.Has("axis")),
        axis_(build.Int("axis", 0)) {}

  void Run(OpContext& context) override {
    const Value& base = context.Input(0);
    const Value& exponent = context.Input(1);
    const Dims* exponent_dims = &exponent.dims;
    if (legacy_axis_) {
      AlignLegacyAxis(base.dims, exponent.dims, axis_, &aligned_);
      exponent_dims = &aligned_;
    }
    const Dims* const operands[] = {&base.dims, exponent_dims};
    broadcast_.Plan(operands);
    Value& out = context.Output(0, base.dtype, broadcast_.dims());
    if (IsSimple(base, exponent, out)) return;
    if (exponent.dtype == base.dtype && !IsNarrow(base.dtype)) {
      return RunLoop(broadcast_, context.threads(), kPow.For(base.dtype), base, exponent, out);
    }
    RunMixed(context, base, exponent, out);
  }

 private:
  static bool IsNarrow(DType dtype) {
    return dtype == DType::kFloat16 || dtype == DType::kBFloat16;
  }

  static bool IsSimple(const Value& base, const Value& exponent, Value& out) {
    if (exponent.Elements() != 1 || out.Elements() != base.Elements()) return false;
    if (base.dtype == DType::kFloat32) {
      return SimplePower(base.As<float>(), static_cast<float>(ReadNumber(exponent)),
                         out.As<float>(), out.Elements());
    }
    return base.dtype == DType::kFloat64 &&
           SimplePower(base.As<double>(), ReadNumber(exponent), out.As<double>(), out.Elements());
  }

  void RunMixed(OpContext& context, const Value& base, const Value& exponent, Value& out) {
    const std::size_t count = exponent.Elements();
    auto* exponents = reinterpret_cast<double*>(context.Scratch(count * sizeof(double)));
    Dispatch(Join<NumberTypes, NarrowTypes>(), exponent.dtype, [&]<typename T>() {
      for (std::size_t i = 0; i < count; ++i) {
        exponents[i] = static_cast<double>(exponent.As<T>()[i]);
      }
    });
    using Bases = Join<TypeList<float, double, std::int32_t, std::int64_t>, NarrowTypes>;
    Dispatch(Bases(), base.dtype, [&]<typename T>() {
      const T* x = base.As<T>();
      T* y = out.As<T>();
      broadcast_.Run(context.threads(), [&](const auto& first, std::size_t begin, std::size_t run) {
        for (std::size_t i = 0; i < run; ++i) {
          y[begin + i] = MixedPow(x[first[0] + i * broadcast_.step(0)],
                                  exponents[first[1] + i * broadcast_.step(1)]);
        }
      });
    });
  }

  const bool legacy_axis_;
  const std::int64_t axis_;
  Dims aligned_;
  Broadcast broadcast_;
};

std::unique_ptr<Op> MakePow(const OpBuild& build) { return std::make_unique<PowOp>(build); }

constexpr OpEntry kEntries[] = {
    {"", "Add", &MakeBinary<kAdd>},
    {"", "Sub", &MakeBinary<kSub>},
    {"", "Mul", &MakeBinary<kMul>},
    {"", "Div", &MakeBinary<kDiv>},
    {"", "Mod", &MakeMod},
    {"", "Pow", &MakePow},
    {"", "Max", &MakeVariadic<kMax, false>},
    {"", "Min", &MakeVariadic<kMin, false>},
    {"", "Sum", &MakeVariadic<kAdd, false>},
    {"", "Mean", &MakeVariadic<kAdd, true>},
};

}  // namespace

std::span<const OpEntry> ArithmeticOps() { return kEntries; }

}  // namespace espalier::runtime
