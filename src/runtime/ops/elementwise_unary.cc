#include "runtime/ops/elementwise_unary.h"

#include <algorithm>
#include <cmath>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {
namespace {

struct AbsOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::abs(x);
    } else if constexpr (std::is_signed_v<T>) {
      using U = std::make_unsigned_t<T>;
      return x < 0 ? static_cast<T>(U(0) - static_cast<U>(x)) : x;
    } else {
      return x;
    }
  }
};

struct NegOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    if constexpr (std::is_floating_point_v<T>) {
      return -x;
    } else {
      using U = std::make_unsigned_t<T>;
      return static_cast<T>(U(0) - static_cast<U>(x));
    }
  }
};

struct SignOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    if constexpr (std::is_floating_point_v<T>) {
      if (x != x) return x;
    }
    return static_cast<T>((x > T(0)) - (x < T(0)));
  }
};

struct NotOf {
  static Bool Of(Bool x, const UnaryNumbers&) { return Bool(!x); }
};

struct BitNotOf {
  template <typename T>
  static T Of(T x, const UnaryNumbers&) {
    return static_cast<T>(~x);
  }
};

struct IsNanOf {
  template <typename T>
  static Bool Of(T x, const UnaryNumbers&) {
    return Bool(x != x);
  }
};

// alpha, beta: whether negative and positive infinity count.
struct IsInfOf {
  template <typename T>
  static Bool Of(T x, const UnaryNumbers& numbers) {
    return Bool(std::isinf(x) && (x < 0 ? numbers.alpha : numbers.beta) != 0);
  }
};

// A functor for a function of the standard library.
#define ESPALIER_UNARY(name, expression)    \
  struct name {                             \
    template <typename T>                   \
    static T Of(T x, const UnaryNumbers&) { \
      return expression;                    \
    }                                       \
  }
ESPALIER_UNARY(CeilOf, std::ceil(x));
ESPALIER_UNARY(FloorOf, std::floor(x));
ESPALIER_UNARY(RoundOf, std::nearbyint(x));  // halves to even, the mode that threads start with
ESPALIER_UNARY(SqrtOf, std::sqrt(x));
ESPALIER_UNARY(ReciprocalOf, T(1) / x);
ESPALIER_UNARY(ExpOf, std::exp(x));
ESPALIER_UNARY(LogOf, std::log(x));
ESPALIER_UNARY(SinOf, std::sin(x));
ESPALIER_UNARY(CosOf, std::cos(x));
ESPALIER_UNARY(TanOf, std::tan(x));
ESPALIER_UNARY(AsinOf, std::asin(x));
ESPALIER_UNARY(AcosOf, std::acos(x));
ESPALIER_UNARY(AtanOf, std::atan(x));
ESPALIER_UNARY(SinhOf, std::sinh(x));
ESPALIER_UNARY(CoshOf, std::cosh(x));
ESPALIER_UNARY(AsinhOf, std::asinh(x));
ESPALIER_UNARY(AcoshOf, std::acosh(x));
ESPALIER_UNARY(AtanhOf, std::atanh(x));
ESPALIER_UNARY(ErfOf, std::erf(x));
#undef ESPALIER_UNARY

template <typename F>
constexpr UnaryTable kFloat = MakeUnaryTable<F>(FloatTypes());

constexpr UnaryTable kAbs = MakeUnaryTable<AbsOf>(NumberTypes());
constexpr UnaryTable kNeg = MakeUnaryTable<NegOf>(Join<FloatTypes, SignedTypes>());
constexpr UnaryTable kSign = MakeUnaryTable<SignOf>(NumberTypes());
constexpr UnaryTable kNot = MakeUnaryTable<NotOf>(TypeList<Bool>());
constexpr UnaryTable kBitNot = MakeUnaryTable<BitNotOf>(IntTypes());

std::unique_ptr<Op> MakeIsInf(const OpBuild& build) {
  const UnaryNumbers which{build.Int("detect_negative", 1) != 0 ? 1.0f : 0.0f,
                           build.Int("detect_positive", 1) != 0 ? 1.0f : 0.0f};
  return std::make_unique<UnaryOp>(kFloat<IsInfOf>, which);
}

constexpr OpEntry kEntries[] = {
    {"", "Abs", &MakeUnary<kAbs>},
    {"", "Neg", &MakeUnary<kNeg>},
    {"", "Sign", &MakeUnary<kSign>},
    {"", "Not", &MakeUnary<kNot>},
    {"", "BitwiseNot", &MakeUnary<kBitNot>},
    {"", "IsNaN", &MakeUnary<kFloat<IsNanOf>>},
    {"", "IsInf", &MakeIsInf},
    {"", "Ceil", &MakeUnary<kFloat<CeilOf>>},
    {"", "Floor", &MakeUnary<kFloat<FloorOf>>},
    {"", "Round", &MakeUnary<kFloat<RoundOf>>},
    {"", "Sqrt", &MakeUnary<kFloat<SqrtOf>>},
    {"", "Reciprocal", &MakeUnary<kFloat<ReciprocalOf>>},
    {"", "Exp", &MakeUnary<kMapped<ExpOf, MapKind::kExp>>},
    {"", "Log", &MakeUnary<kFloat<LogOf>>},
    {"", "Sin", &MakeUnary<kFloat<SinOf>>},
    {"", "Cos", &MakeUnary<kFloat<CosOf>>},
    {"", "Tan", &MakeUnary<kFloat<TanOf>>},
    {"", "Asin", &MakeUnary<kFloat<AsinOf>>},
    {"", "Acos", &MakeUnary<kFloat<AcosOf>>},
    {"", "Atan", &MakeUnary<kFloat<AtanOf>>},
    {"", "Sinh", &MakeUnary<kFloat<SinhOf>>},
    {"", "Cosh", &MakeUnary<kFloat<CoshOf>>},
    {"", "Asinh", &MakeUnary<kFloat<AsinhOf>>},
    {"", "Acosh", &MakeUnary<kFloat<AcoshOf>>},
    {"", "Atanh", &MakeUnary<kFloat<AtanhOf>>},
    {"", "Erf", &MakeUnary<kMapped<ErfOf, MapKind::kErf>>},
};

}  // namespace

void UnaryOp::RunFloat(OpContext& context) {
  const Value& x = context.Input(0);
  const UnaryLoop loop = table_.Get(x.dtype);
  if (loop == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the operator does not run on {}", DTypeName(x.dtype)));
  }
  Value& out = context.Output(0, table_.bool_result ? DType::kBool : x.dtype, x.dims);
  const std::size_t count = x.Elements();
  const std::size_t x_bytes = ElementBytes(x.dtype);
  const std::size_t out_bytes = ElementBytes(out.dtype);
  if (context.threads() <= 1 || count < kParallelElements) {
    return loop(numbers_, x.data, out.data, count);
  }
  const auto parts = static_cast<std::size_t>(context.threads());
  ThreadPool::Shared().Run(context.threads(), parts, [&](std::size_t i) {
    const std::size_t begin = PartBegin(count, parts, i);
    loop(numbers_, x.data + begin * x_bytes, out.data + begin * out_bytes,
         PartBegin(count, parts, i + 1) - begin);
  });
}

std::span<const OpEntry> UnaryOps() { return kEntries; }

}  // namespace espalier::runtime
