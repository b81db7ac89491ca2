#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

// Index into a tensor of `dims` that the element `index` of the result `out` comes from.
std::size_t SourceIndex(const Dims& out, const Dims& dims, std::size_t index) {
  std::size_t source = 0;
  std::size_t stride = 1;
  for (std::size_t back = 1; back <= out.size(); ++back) {
    const auto size = static_cast<std::size_t>(out[out.size() - back]);
    const std::size_t at = index % size;
    index /= size;
    if (back > dims.size()) continue;
    const auto own = static_cast<std::size_t>(dims[dims.size() - back]);
    if (own != 1) source += at * stride;
    stride *= own;
  }
  return source;
}

TEST(Arithmetic, BroadcastsAsDefined) {
  const struct {
    Dims a, b, out;
  } cases[] = {{{2, 3, 4, 5}, {2, 3, 4, 5}, {2, 3, 4, 5}},
               {{2, 3, 4, 5}, {}, {2, 3, 4, 5}},
               {{2, 3, 4, 5}, {5}, {2, 3, 4, 5}},
               {{4, 5}, {2, 3, 4, 5}, {2, 3, 4, 5}},
               {{2, 3, 4, 5}, {3, 1, 1}, {2, 3, 4, 5}},
               {{1, 4, 5}, {2, 3, 1, 1}, {2, 3, 4, 5}},
               {{2, 1, 4, 1}, {1, 3, 1, 5}, {2, 3, 4, 5}},
               {{0, 3}, {1, 3}, {0, 3}},
               {{1}, {}, {1}},
               {{300, 1, 301}, {7, 1}, {300, 7, 301}}};
  for (const auto& c : cases) {
    for (const int threads : {1, 3}) {
      const Tensor a = RandomTensor(c.a, 1);
      const Tensor b = RandomTensor(c.b, 2);
      OpRunner sub("Sub");
      const Tensor out = sub.Threads(threads).Run1({a, b});
      ASSERT_EQ(out.dims(), c.out);
      const auto x = ElementsOf<float>(a);
      const auto y = ElementsOf<float>(b);
      const auto z = ElementsOf<float>(out);
      for (std::size_t i = 0; i < z.size(); ++i) {
        const float want = x[SourceIndex(c.out, c.a, i)] - y[SourceIndex(c.out, c.b, i)];
        ASSERT_EQ(z[i], want) << DimsText(c.a) << " - " << DimsText(c.b) << " at " << i;
      }
    }
  }
}

TEST(Arithmetic, ShapesThatDoNotMeetAreErrors) {
  EXPECT_TRUE(OpRunner("Add").Fails({RandomTensor({2, 3}, 1), RandomTensor({2}, 1)}));
  EXPECT_TRUE(OpRunner("Add").Fails({RandomTensor({2}, 1), MakeInts({1, 2})}));
  EXPECT_TRUE(OpRunner("Add").Fails({RandomTensor({2}, 1)}));
  EXPECT_TRUE(OpRunner("Max").Fails({RandomTensor({2, 3}, 1), RandomTensor({2}, 1)}));
}

TEST(Arithmetic, LegacyAxis) {
  OpRunner add("Add", 6);
  add.Set("broadcast", std::int64_t{1}).Set("axis", std::int64_t{1});
  const Tensor out =
      add.Run1({RandomTensor({2, 3, 2}, 1, 0, 0), MakeTensor<float>({3}, {1, 2, 3})});
  EXPECT_EQ(ElementsOf<float>(out), (std::vector<float>{1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3}));
  OpRunner outside("Add", 6);
  outside.Set("broadcast", std::int64_t{1}).Set("axis", std::int64_t{2});
  EXPECT_TRUE(outside.Fails({RandomTensor({2, 3}, 1), RandomTensor({3}, 1)}));
}

TEST(Arithmetic, IntegersWrapAndDivideByZeroSafely) {
  constexpr std::int32_t kMin = std::numeric_limits<std::int32_t>::min();
  const auto run = [](const char* op, std::vector<std::int32_t> a, std::vector<std::int32_t> b) {
    const auto count = static_cast<std::int64_t>(a.size());
    return ElementsOf<std::int32_t>(OpRunner(op).Run1(
        {MakeTensor<std::int32_t>({count}, a), MakeTensor<std::int32_t>({count}, b)}));
  };
  EXPECT_EQ(run("Div", {7, -7, kMin, 5}, {2, 2, -1, 0}),
            (std::vector<std::int32_t>{3, -3, kMin, 0}));
  EXPECT_EQ(run("Mod", {7, -7, 7, kMin, 5}, {3, 3, -3, -1, 0}),
            (std::vector<std::int32_t>{1, 2, -2, 0, 0}));
  EXPECT_EQ(run("Sub", {kMin}, {1}), (std::vector<std::int32_t>{2147483647}));
  EXPECT_EQ(run("Pow", {2, -1, -1, 3, 0}, {10, -3, -2, -1, 0}),
            (std::vector<std::int32_t>{1024, -1, 1, 0, 1}));
}

// Two floats are the same number, zeros with their signs, or both NaN.
void ExpectSameFloat(double got, double want, const std::string& where) {
  EXPECT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << where << " gives " << got;
  EXPECT_TRUE(std::isnan(want) || std::signbit(got) == std::signbit(want)) << where;
}

// As C's fmod and numpy's fmod have it; without the attribute the divisor's, as numpy's mod.
TEST(Arithmetic, ARemainderOfZeroHasTheDividendsSign) {
  const std::vector<double> a = {-4, 4, -0.0, 0, -4, 4, -5, NAN, -6};
  const std::vector<double> b = {2, 2, 3, -3, -2, -2, INFINITY, 1, 3};
  const std::vector<double> floored = {0, 0, 0, -0.0, -0.0, -0.0, INFINITY, NAN, 0};
  const auto count = static_cast<std::int64_t>(a.size());
  const auto check = [&]<typename T>(T) {
    const Tensor x = MakeTensor<T>({count}, std::vector<T>(a.begin(), a.end()));
    const Tensor y = MakeTensor<T>({count}, std::vector<T>(b.begin(), b.end()));
    const auto by_c = ElementsOf<T>(OpRunner("Mod").Set("fmod", std::int64_t{1}).Run1({x, y}));
    const auto by_two = ElementsOf<T>(
        OpRunner("Mod").Set("fmod", std::int64_t{1}).Run1({x, MakeTensor<T>({}, {T(2)})}));
    const auto by_python = ElementsOf<T>(OpRunner("Mod").Run1({x, y}));
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::string where = fmt::format("{} mod {}", a[i], b[i]);
      ExpectSameFloat(by_c[i], std::fmod(a[i], b[i]), where);
      ExpectSameFloat(by_two[i], std::fmod(a[i], 2), where);
      ExpectSameFloat(by_python[i], floored[i], where);
    }
  };
  check(0.0f);
  check(0.0);
  // -4 and 2 in float16 and bfloat16, and -0.
  const Tensor half = OpRunner("Mod")
                          .Set("fmod", std::int64_t{1})
                          .Run1({MakeTensor<std::uint16_t>({1}, {0xC400}, DType::kFloat16),
                                 MakeTensor<std::uint16_t>({1}, {0x4000}, DType::kFloat16)});
  EXPECT_EQ(ElementsOf<std::uint16_t>(half)[0], 0x8000);
  const Tensor brain = OpRunner("Mod")
                           .Set("fmod", std::int64_t{1})
                           .Run1({MakeTensor<std::uint16_t>({1}, {0xC080}, DType::kBFloat16),
                                  MakeTensor<std::uint16_t>({1}, {0x4000}, DType::kBFloat16)});
  EXPECT_EQ(ElementsOf<std::uint16_t>(brain)[0], 0x8000);
}

TEST(Arithmetic, NarrowFloatsRoundOnce) {
  // 1 + 2^-10 in float16, 1 + 2^-7 in bfloat16: the sums are exact ties, to even.
  const Tensor half =
      OpRunner("Add").Run1({MakeTensor<std::uint16_t>({2}, {0x3C00, 0x3C01}, DType::kFloat16),
                            MakeTensor<std::uint16_t>({1}, {0x1000}, DType::kFloat16)});  // 2^-11
  EXPECT_EQ(half.dtype(), DType::kFloat16);
  EXPECT_EQ(ElementsOf<std::uint16_t>(half), (std::vector<std::uint16_t>{0x3C00, 0x3C02}));
  const Tensor brain =
      OpRunner("Mul").Run1({MakeTensor<std::uint16_t>({1}, {0x3F80}, DType::kBFloat16),
                            MakeTensor<std::uint16_t>({1}, {0xC040}, DType::kBFloat16)});
  EXPECT_EQ(ElementsOf<std::uint16_t>(brain), (std::vector<std::uint16_t>{0xC040}));
}

TEST(Variadic, FoldsAnyNumberOfInputs) {
  const Tensor a = MakeTensor<float>({2, 1}, {1, 5});
  const Tensor b = MakeTensor<float>({3}, {2, 4, NAN});
  const Tensor c = MakeTensor<float>({}, {3});
  const auto run = [&](const char* op, std::vector<Tensor> inputs) {
    return ElementsOf<float>(OpRunner(op).Run1(inputs));
  };
  const auto max = run("Max", {a, b, c});
  EXPECT_EQ((std::vector<float>{max[0], max[1], max[3], max[4]}), (std::vector<float>{3, 4, 5, 5}));
  EXPECT_TRUE(std::isnan(max[2]) && std::isnan(max[5]));
  EXPECT_EQ(run("Sum", {a, a, a, c}), (std::vector<float>{6, 18}));
  EXPECT_EQ(run("Mean", {a, a, c}), (std::vector<float>{5.0f / 3, 13.0f / 3}));
  EXPECT_EQ(run("Min", {a}), (std::vector<float>{1, 5}));
  EXPECT_EQ(run("Max", {c, a}), (std::vector<float>{3, 5}));
}

TEST(Pow, SimpleExponentsAndMixedTypes) {
  const Tensor x = RandomTensor({1000}, 3, 0.1f, 3);
  const auto in = ElementsOf<float>(x);
  for (const float exponent : {2.0f, 3.0f, 1.0f, -1.0f, 0.5f, 1.7f, 0.0f}) {
    const auto out =
        ElementsOf<float>(OpRunner("Pow").Run1({x, MakeTensor<float>({1}, {exponent})}));
    for (std::size_t i = 0; i < in.size(); ++i) {
      // Two roundings for x * x * x, one more of the function.
      const double want = std::pow(double(in[i]), double(exponent));
      ASSERT_NEAR(out[i], want, 3 * 0x1p-24 * want) << in[i] << " ^ " << exponent;
    }
  }
  const Tensor special = MakeTensor<float>({3}, {-INFINITY, -0.0f, -4});
  const auto root =
      ElementsOf<float>(OpRunner("Pow").Run1({special, MakeTensor<double>({}, {0.5})}));
  EXPECT_EQ(root[0], INFINITY);
  EXPECT_EQ(root[1], 0.0f);
  EXPECT_FALSE(std::signbit(root[1]));
  EXPECT_TRUE(std::isnan(root[2]));
  const Tensor mixed = OpRunner("Pow").Run1(
      {MakeTensor<std::int32_t>({3}, {2, -3, 10}), MakeTensor<float>({3}, {0.5f, 3, 40})});
  EXPECT_EQ(ElementsOf<std::int32_t>(mixed),
            (std::vector<std::int32_t>{1, -27, std::numeric_limits<std::int32_t>::min()}));
}

TEST(Pow, TheBaseSaysTheType) {
  const Tensor half = MakeTensor<std::uint16_t>({2}, {0x4000, 0x4200}, DType::kFloat16);  // 2, 3
  const Tensor wide = OpRunner("Pow").Run1({MakeTensor<float>({2}, {3, 5}), half});
  EXPECT_EQ(wide.dtype(), DType::kFloat32);
  EXPECT_EQ(ElementsOf<float>(wide), (std::vector<float>{9, 125}));
  const Tensor narrow = OpRunner("Pow").Run1({half, MakeTensor<float>({1}, {2})});
  EXPECT_EQ(narrow.dtype(), DType::kFloat16);
  EXPECT_EQ(ElementsOf<std::uint16_t>(narrow), (std::vector<std::uint16_t>{0x4400, 0x4880}));
}

TEST(Comparison, AllTypesAndNan) {
  const Tensor a = MakeTensor<float>({4}, {1, 2, 3, NAN});
  const Tensor b = MakeTensor<float>({4}, {2, 2, 2, NAN});
  const auto run = [&](const char* op) {
    return ElementsOf<std::uint8_t>(OpRunner(op).Run1({a, b}));
  };
  EXPECT_EQ(run("Less"), (std::vector<std::uint8_t>{1, 0, 0, 0}));
  EXPECT_EQ(run("LessOrEqual"), (std::vector<std::uint8_t>{1, 1, 0, 0}));
  EXPECT_EQ(run("Greater"), (std::vector<std::uint8_t>{0, 0, 1, 0}));
  EXPECT_EQ(run("GreaterOrEqual"), (std::vector<std::uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ(run("Equal"), (std::vector<std::uint8_t>{0, 1, 0, 0}));
  const Tensor half = MakeTensor<std::uint16_t>({2}, {0x3C00, 0xBC00}, DType::kFloat16);
  const Tensor less =
      OpRunner("Less").Run1({half, MakeTensor<std::uint16_t>({1}, {0}, DType::kFloat16)});
  EXPECT_EQ(less.dtype(), DType::kBool);
  EXPECT_EQ(ElementsOf<std::uint8_t>(less), (std::vector<std::uint8_t>{0, 1}));
  const Tensor unsigned_less = OpRunner("Less").Run1(
      {MakeTensor<std::uint8_t>({1}, {200}), MakeTensor<std::uint8_t>({1}, {100})});
  EXPECT_EQ(ElementsOf<std::uint8_t>(unsigned_less), (std::vector<std::uint8_t>{0}));
}

TEST(Logic, AnyByteButZeroIsTrue) {
  const Tensor a = MakeBools({4}, {0, 0, 7, 2});
  const Tensor b = MakeBools({4}, {0, 3, 0, 1});
  const auto run = [&](const char* op) {
    return ElementsOf<std::uint8_t>(OpRunner(op).Run1({a, b}));
  };
  EXPECT_EQ(run("And"), (std::vector<std::uint8_t>{0, 0, 0, 1}));
  EXPECT_EQ(run("Or"), (std::vector<std::uint8_t>{0, 1, 1, 1}));
  EXPECT_EQ(run("Xor"), (std::vector<std::uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ(ElementsOf<std::uint8_t>(OpRunner("Not").Run1({a})),
            (std::vector<std::uint8_t>{1, 1, 0, 0}));
  EXPECT_TRUE(
      OpRunner("And").Fails({RandomTensor({1}, 1), RandomTensor({1}, 1)}, ErrorCode::kUnsupported));
}

TEST(Bits, ShiftsBeyondTheWidthLeaveNothing) {
  const auto shift = [](const char* direction, std::vector<std::uint32_t> x,
                        std::vector<std::uint32_t> by) {
    OpRunner op("BitShift");
    op.Set("direction", std::string(direction));
    const auto count = static_cast<std::int64_t>(x.size());
    return ElementsOf<std::uint32_t>(
        op.Run1({MakeTensor<std::uint32_t>({count}, x), MakeTensor<std::uint32_t>({count}, by)}));
  };
  EXPECT_EQ(shift("LEFT", {1, 1, 1}, {31, 32, 4000000000u}),
            (std::vector<std::uint32_t>{0x80000000u, 0, 0}));
  EXPECT_EQ(shift("RIGHT", {0x80000000u, 5}, {31, 64}), (std::vector<std::uint32_t>{1, 0}));
  EXPECT_TRUE(OpRunner("BitShift").Set("direction", std::string("UP")).IsRefused(2));
}

TEST(Cast, OutOfRangeAsOnX86) {
  const Tensor x = MakeTensor<float>({7}, {300.7f, -1.5f, NAN, 3e9f, -3e9f, 1e20f, INFINITY});
  const auto cast = [&](std::int64_t to) { return OpRunner("Cast").Set("to", to).Run1({x}); };
  constexpr std::int32_t kMin32 = std::numeric_limits<std::int32_t>::min();
  constexpr std::int64_t kMin64 = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(ElementsOf<std::int32_t>(cast(6)),
            (std::vector<std::int32_t>{300, -1, kMin32, kMin32, kMin32, kMin32, kMin32}));
  EXPECT_EQ(ElementsOf<std::int64_t>(cast(7)),
            (std::vector<std::int64_t>{300, -1, kMin64, 3000000000, -3000000000, kMin64, kMin64}));
  EXPECT_EQ(ElementsOf<std::uint8_t>(cast(2)), (std::vector<std::uint8_t>{44, 255, 0, 0, 0, 0, 0}));
  EXPECT_EQ(ElementsOf<std::uint32_t>(cast(12)),
            (std::vector<std::uint32_t>{300, 0xFFFFFFFFu, 0, 3000000000u, 1294967296u, 0, 0}));
  EXPECT_EQ(ElementsOf<std::uint8_t>(cast(9)), (std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(ElementsOf<std::uint64_t>(OpRunner("Cast")
                                          .Set("to", std::int64_t{13})
                                          .Run1({MakeTensor<double>({2}, {1.5e19, 7.9})})),
            (std::vector<std::uint64_t>{15000000000000000000u, 7}));
}

TEST(Cast, RoundTripsAndViews) {
  const Tensor x = MakeTensor<float>({4}, {0.5f, -2, 65504, 0x1p-24f});
  const Tensor half = OpRunner("Cast").Set("to", std::int64_t{10}).Run1({x});
  EXPECT_EQ(half.dtype(), DType::kFloat16);
  EXPECT_EQ(ElementsOf<float>(OpRunner("Cast").Set("to", std::int64_t{1}).Run1({half})),
            ElementsOf<float>(x));
  OpRunner same("Cast");
  same.Set("to", std::int64_t{1}).Run1({x});
  EXPECT_EQ(same.context().ViewOf(0), 0);
  EXPECT_EQ(OpRunner("CastLike").Run1({x, MakeInts({1})}).dtype(), DType::kInt64);
  EXPECT_EQ(OpRunner("Cast", 5).Set("to", std::string("INT32")).Run1({x}).dtype(), DType::kInt32);
  for (const std::int64_t to : {0, 8, 14, 99, -1}) {
    EXPECT_TRUE(OpRunner("Cast").Set("to", to).IsRefused(1)) << to;
  }
}

TEST(Where, BroadcastsThreeWays) {
  const Tensor condition = MakeBools({2, 1}, {1, 0});
  const Tensor a = MakeTensor<std::int16_t>({3}, {1, 2, 3});
  const Tensor b = MakeTensor<std::int16_t>({}, {-1});
  EXPECT_EQ(ElementsOf<std::int16_t>(OpRunner("Where").Run1({condition, a, b})),
            (std::vector<std::int16_t>{1, 2, 3, -1, -1, -1}));
  EXPECT_TRUE(OpRunner("Where").Fails({a, a, b}));
}

TEST(Clip, EveryForm) {
  const Tensor x = MakeTensor<float>({4}, {-2, 0.5f, 7, NAN});
  const auto check = [](const Tensor& out, std::vector<float> want) {
    const auto got = ElementsOf<float>(out);
    EXPECT_EQ(std::vector<float>(got.begin(), got.begin() + 3), want);
    EXPECT_TRUE(std::isnan(got[3]));
  };
  check(OpRunner("Clip", 6).Set("min", 0.0f).Set("max", 6.0f).Run1({x}), {0, 0.5f, 6});
  check(OpRunner("Clip", 6).Run1({x}), {-2, 0.5f, 7});
  const Tensor zero = MakeTensor<float>({}, {0});
  const Tensor six = MakeTensor<float>({}, {6});
  check(OpRunner("Clip", 13).Run1({x, zero, six}), {0, 0.5f, 6});
  check(OpRunner("Clip", 13).Run1({x, Tensor(), six}), {-2, 0.5f, 6});
  check(OpRunner("Clip", 13).Run1({x, six, zero}), {0, 0, 0});
  EXPECT_EQ(ElementsOf<std::uint64_t>(OpRunner("Clip").Run1(
                {MakeTensor<std::uint64_t>({2}, {1, ~0ull}), MakeTensor<std::uint64_t>({}, {2})})),
            (std::vector<std::uint64_t>{2, ~0ull}));
  EXPECT_TRUE(OpRunner("Clip", 13).Fails({x, MakeInts({1})}));
  EXPECT_TRUE(OpRunner("Clip", 13).Fails({x, RandomTensor({2}, 1)}));
}

TEST(Dropout, PassesItsInputOn) {
  const Tensor x = RandomTensor({2, 3}, 4);
  OpRunner drop("Dropout", 13);
  const auto out = drop.Outputs(2).Run({x});
  EXPECT_EQ(ElementsOf<float>(out[0]), ElementsOf<float>(x));
  EXPECT_EQ(out[1].dtype(), DType::kBool);
  EXPECT_EQ(ElementsOf<std::uint8_t>(out[1]), std::vector<std::uint8_t>(6, 1));
  EXPECT_EQ(OpRunner("Dropout", 7).Outputs(2).Run({x})[1].dtype(), DType::kFloat32);
  EXPECT_TRUE(OpRunner("Dropout", 13).IsRefused(3));
  OpRunner inference("Dropout", 13);
  inference.Initializer(2, MakeBools({}, {0}));
  EXPECT_FALSE(inference.IsRefused(3));
}

// ---------------------------------------------------------------- Functions of one number

struct Function {
  const char* op;
  double (*f)(double);
  double low, high;
  const char* domain = "";
  std::int64_t opset = 20;
};

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
double FastGelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979324) * (x + 0.044715 * x * x * x)));
}

const Function kFunctions[] = {
    {"Abs", [](double x) { return std::abs(x); }, -9, 9},
    {"Neg", [](double x) { return -x; }, -9, 9},
    {"Sign", [](double x) { return double((x > 0) - (x < 0)); }, -9, 9},
    {"Ceil", [](double x) { return std::ceil(x); }, -9, 9},
    {"Floor", [](double x) { return std::floor(x); }, -9, 9},
    {"Sqrt", [](double x) { return std::sqrt(x); }, 0, 9},
    {"Reciprocal", [](double x) { return 1 / x; }, 0.1, 9},
    {"Exp", [](double x) { return std::exp(x); }, -87, 88},
    {"Log", [](double x) { return std::log(x); }, 0.01, 99},
    {"Sin", [](double x) { return std::sin(x); }, -9, 9},
    {"Cos", [](double x) { return std::cos(x); }, -9, 9},
    {"Tan", [](double x) { return std::tan(x); }, -1.5, 1.5},
    {"Asin", [](double x) { return std::asin(x); }, -1, 1},
    {"Acos", [](double x) { return std::acos(x); }, -1, 1},
    {"Atan", [](double x) { return std::atan(x); }, -9, 9},
    {"Sinh", [](double x) { return std::sinh(x); }, -9, 9},
    {"Cosh", [](double x) { return std::cosh(x); }, -9, 9},
    {"Asinh", [](double x) { return std::asinh(x); }, -9, 9},
    {"Acosh", [](double x) { return std::acosh(x); }, 1, 9},
    {"Atanh", [](double x) { return std::atanh(x); }, -0.99, 0.99},
    {"Erf", [](double x) { return std::erf(x); }, -5, 5},
    {"Tanh", [](double x) { return std::tanh(x); }, -12, 12},
    {"Sigmoid", &Sigmoid, -100, 100},
    {"Relu", [](double x) { return std::max(x, 0.0); }, -9, 9},
    {"LeakyRelu", [](double x) { return x < 0 ? double(0.01f) * x : x; }, -9, 9},
    {"ThresholdedRelu", [](double x) { return x > 1 ? x : 0; }, -9, 9},
    {"Elu", [](double x) { return x < 0 ? std::expm1(x) : x; }, -9, 9},
    {"Celu", [](double x) { return x < 0 ? std::expm1(x) : x; }, -9, 9},
    {"Selu",
     [](double x) { return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x)); },
     -9, 9},
    {"HardSigmoid", [](double x) { return std::clamp(double(0.2f) * x + 0.5, 0.0, 1.0); }, -9, 9},
    {"HardSwish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }, -9, 9},
    {"Softplus", [](double x) { return std::log1p(std::exp(x)); }, -80, 80},
    {"Softsign", [](double x) { return x / (1 + std::abs(x)); }, -9, 9},
    {"Mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }, -20, 20},
    {"Shrink", [](double x) { return std::abs(x) > 0.5 ? x : 0; }, -2, 2},
    {"Gelu", &Gelu, -9, 9},
    {"Gelu", &Gelu, -9, 9, "com.microsoft", 1},
    {"FastGelu", &FastGelu, -9, 9, "com.microsoft", 1},
    {"QuickGelu", [](double x) { return x * Sigmoid(double(1.702f) * x); }, -9, 9, "com.microsoft",
     1},
};

class UnaryFunction : public testing::TestWithParam<Function> {};

TEST_P(UnaryFunction, AgreesWithDouble) {
  const Function& f = GetParam();
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{1}, std::int64_t{5003}}) {
    const Tensor x = RandomTensor({count}, 5, float(f.low), float(f.high));
    const auto in = ElementsOf<float>(x);
    const auto out = ElementsOf<float>(OpRunner(f.op, f.opset, f.domain).Run1({x}));
    ASSERT_EQ(out.size(), in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double want = f.f(in[i]);
      // A few roundings of the result or of the parts it is made of, which are about 1.
      ASSERT_NEAR(out[i], want, 8 * 0x1p-24 * std::max(std::abs(want), 1.0))
          << f.op << " of " << in[i];
    }
    std::vector<double> wide(in.begin(), in.end());
    const auto exact = ElementsOf<double>(
        OpRunner(f.op, f.opset, f.domain).Run1({MakeTensor<double>({count}, wide)}));
    // Selu's attributes are float32.
    const double tolerance = f.op == std::string("Selu") ? 1e-7 : 1e-14;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double want = f.f(in[i]);
      ASSERT_NEAR(exact[i], want, tolerance * (std::abs(want) + 1)) << f.op << " of " << in[i];
    }
  }
}

TEST_P(UnaryFunction, ThreadsAndNarrowTypesAgree) {
  const Function& f = GetParam();
  const Tensor x = RandomTensor({70001}, 6, float(f.low), float(f.high));
  const Tensor one = OpRunner(f.op, f.opset, f.domain).Run1({x});
  const Tensor three = OpRunner(f.op, f.opset, f.domain).Threads(3).Run1({x});
  EXPECT_EQ(ElementsOf<float>(one), ElementsOf<float>(three));
  const Tensor half = OpRunner("Cast").Set("to", std::int64_t{10}).Run1({x});
  const Tensor out = OpRunner(f.op, f.opset, f.domain).Run1({half});
  EXPECT_EQ(out.dtype(), DType::kFloat16);
  const Tensor widened = OpRunner("Cast").Set("to", std::int64_t{1}).Run1({half});
  const Tensor want = OpRunner("Cast")
                          .Set("to", std::int64_t{10})
                          .Run1({OpRunner(f.op, f.opset, f.domain).Run1({widened})});
  EXPECT_EQ(ElementsOf<std::uint16_t>(out), ElementsOf<std::uint16_t>(want));
}

INSTANTIATE_TEST_SUITE_P(All, UnaryFunction, testing::ValuesIn(kFunctions), [](const auto& info) {
  return std::string(*info.param.domain ? "ms" : "") + info.param.op;
});

TEST(Unary, SpecialNumbers) {
  const Tensor x = MakeTensor<float>({6}, {0.5f, 1.5f, -2.5f, INFINITY, -INFINITY, NAN});
  const auto round = ElementsOf<float>(OpRunner("Round").Run1({x}));
  EXPECT_EQ((std::vector<float>{round[0], round[1], round[2]}), (std::vector<float>{0, 2, -2}));
  EXPECT_EQ(ElementsOf<std::uint8_t>(OpRunner("IsNaN").Run1({x})),
            (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(ElementsOf<std::uint8_t>(OpRunner("IsInf").Run1({x})),
            (std::vector<std::uint8_t>{0, 0, 0, 1, 1, 0}));
  EXPECT_EQ(
      ElementsOf<std::uint8_t>(OpRunner("IsInf").Set("detect_negative", std::int64_t{0}).Run1({x})),
      (std::vector<std::uint8_t>{0, 0, 0, 1, 0, 0}));
  for (const char* op : {"Relu", "Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Elu", "Softplus",
                         "Sign", "Shrink", "Erf", "Exp", "ThresholdedRelu"}) {
    EXPECT_TRUE(std::isnan(ElementsOf<float>(OpRunner(op).Run1({x}))[5])) << op;
  }
  const auto sigmoid = ElementsOf<float>(OpRunner("Sigmoid").Run1({x}));
  EXPECT_EQ(sigmoid[3], 1);
  EXPECT_EQ(sigmoid[4], 0);
  const auto exp = ElementsOf<float>(OpRunner("Exp").Run1({x}));
  EXPECT_EQ(exp[3], INFINITY);
  EXPECT_EQ(exp[4], 0);
  const Tensor low = MakeTensor<std::int8_t>({2}, {-128, 5});
  EXPECT_EQ(ElementsOf<std::int8_t>(OpRunner("Abs").Run1({low})),
            (std::vector<std::int8_t>{-128, 5}));
  EXPECT_EQ(ElementsOf<std::int8_t>(OpRunner("Neg").Run1({low})),
            (std::vector<std::int8_t>{-128, -5}));
  EXPECT_TRUE(OpRunner("Celu").Set("alpha", 0.0f).IsRefused(1));
}

TEST(PRelu, SlopesOfEveryOpset) {
  const Tensor x = MakeTensor<float>({1, 2, 1, 2}, {-1, 2, -3, 4});
  EXPECT_EQ(ElementsOf<float>(OpRunner("PRelu", 6).Run1({x, MakeTensor<float>({2}, {10, 100})})),
            (std::vector<float>{-10, 2, -300, 4}));
  EXPECT_EQ(
      ElementsOf<float>(OpRunner("PRelu", 9).Run1({x, MakeTensor<float>({2, 1, 1}, {10, 100})})),
      (std::vector<float>{-10, 2, -300, 4}));
  EXPECT_TRUE(OpRunner("PRelu", 9).Fails({MakeTensor<float>({2}, {1, 2}), x}));
}

TEST(Gelu, BiasAndApproximation) {
  const Tensor x = RandomTensor({4, 33}, 8, -4, 4);
  const Tensor bias = RandomTensor({33}, 9);
  const auto in = ElementsOf<float>(x);
  const auto b = ElementsOf<float>(bias);
  const auto biased = ElementsOf<float>(OpRunner("BiasGelu", 1, "com.microsoft").Run1({x, bias}));
  const auto fast = ElementsOf<float>(OpRunner("FastGelu", 1, "com.microsoft").Run1({x, bias}));
  const auto tanh =
      ElementsOf<float>(OpRunner("Gelu", 20).Set("approximate", std::string("tanh")).Run1({x}));
  for (std::size_t i = 0; i < in.size(); ++i) {
    ASSERT_NEAR(biased[i], Gelu(double(in[i]) + b[i % 33]), 2e-6);
    ASSERT_NEAR(fast[i], FastGelu(double(in[i]) + b[i % 33]), 2e-6);
    ASSERT_NEAR(tanh[i], FastGelu(in[i]), 2e-6);
  }
  EXPECT_TRUE(OpRunner("Gelu", 20).Set("approximate", std::string("cubic")).IsRefused(1));
}

}  // namespace
}  // namespace espalier::runtime
