#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

// All elements that meet in one output, and the sum of their magnitudes.
struct Group {
  std::vector<double> terms;
  double magnitude = 0;
};

// The groups of the outputs, in row-major order, by plain index arithmetic.
std::vector<Group> Groups(const Tensor& x, const std::vector<bool>& reduced) {
  std::size_t outputs = 1;
  for (std::size_t d = 0; d < reduced.size(); ++d) {
    if (!reduced[d]) outputs *= static_cast<std::size_t>(x.dims()[d]);
  }
  std::vector<Group> groups(outputs);
  const std::vector<double> elements = x.AsDoubles();
  for (std::size_t i = 0; i < elements.size(); ++i) {
    std::size_t rest = i;
    std::size_t output = 0;
    std::size_t stride = 1;
    for (std::size_t d = reduced.size(); d-- > 0;) {
      const auto size = static_cast<std::size_t>(x.dims()[d]);
      if (!reduced[d]) {
        output += rest % size * stride;
        stride *= size;
      }
      rest /= size;
    }
    groups[output].terms.push_back(elements[i]);
    groups[output].magnitude += std::abs(elements[i]);
  }
  return groups;
}

struct Reference {
  const char* op;
  double (*of)(const std::vector<double>& terms);
};

template <typename F>
double Folded(const std::vector<double>& terms, double start, const F& f) {
  for (const double x : terms) start = f(start, x);
  return start;
}

const Reference kReferences[] = {
    {"ReduceSum", [](const auto& t) { return Folded(t, 0, std::plus<>()); }},
    {"ReduceMean",
     [](const auto& t) { return Folded(t, 0, std::plus<>()) / static_cast<double>(t.size()); }},
    {"ReduceL1",
     [](const auto& t) {
       return Folded(t, 0, [](double a, double x) { return a + std::abs(x); });
     }},
    {"ReduceL2",
     [](const auto& t) {
       return std::sqrt(Folded(t, 0, [](double a, double x) { return a + x * x; }));
     }},
    {"ReduceSumSquare",
     [](const auto& t) { return Folded(t, 0, [](double a, double x) { return a + x * x; }); }},
    {"ReduceLogSum", [](const auto& t) { return std::log(Folded(t, 0, std::plus<>())); }},
    {"ReduceLogSumExp",
     [](const auto& t) {
       return std::log(Folded(t, 0, [](double a, double x) { return a + std::exp(x); }));
     }},
    {"ReduceProd", [](const auto& t) { return Folded(t, 1, std::multiplies<>()); }},
    {"ReduceMax",
     [](const auto& t) {
       return Folded(t, -HUGE_VAL, [](double a, double x) { return std::max(a, x); });
     }},
    {"ReduceMin",
     [](const auto& t) {
       return Folded(t, HUGE_VAL, [](double a, double x) { return std::min(a, x); });
     }},
};

bool TakesAxesInput(const std::string& op, std::int64_t opset) {
  return opset >= (op == "ReduceSum" ? 13 : 18);
}

Tensor Reduced(const std::string& op, std::int64_t opset, const Tensor& x,
               const std::vector<std::int64_t>& axes, int threads = 1) {
  OpRunner runner(op, opset);
  runner.Threads(threads);
  if (TakesAxesInput(op, opset)) return runner.Run1({x, MakeInts(axes)});
  return runner.Set("axes", axes).Run1({x});
}

std::vector<bool> FlagsOf(const std::vector<std::int64_t>& axes, std::size_t rank) {
  std::vector<bool> flags(rank, axes.empty());
  for (const std::int64_t axis : axes) {
    flags[static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis)] =
        true;
  }
  return flags;
}

TEST(Reduce, MatchesReferenceForAllAxes) {
  const struct {
    Dims dims;
    std::vector<std::int64_t> axes;
  } cases[] = {{{2, 3, 5, 7}, {2, 3}},    {{2, 3, 5, 7}, {-1}},    {{2, 3, 5, 7}, {1}},
               {{2, 3, 5, 7}, {0, 2}},    {{2, 3, 5, 7}, {1, -1}}, {{2, 3, 5, 7}, {}},
               {{3, 300}, {1}},           {{3, 16}, {1}},          {{300, 3}, {0}},
               {{2, 300, 259}, {1}},      {{1, 1, 1}, {1}},        {{}, {}},
               {{2, 1, 3, 1, 5}, {1, 2}}, {{17, 4099}, {1}},       {{33, 1, 2, 1024}, {0, 2}}};
  for (const auto& c : cases) {
    for (const auto& [op, of] : kReferences) {
      for (const std::int64_t opset : {11, 18}) {
        SCOPED_TRACE(std::string(op) + " " + DimsText(c.dims) + " opset " + std::to_string(opset));
        // Positive for the logarithm; near 1 so that products stay finite.
        const Tensor x = RandomTensor(c.dims, 5, 0.9f, 1.1f);
        const Tensor out = Reduced(op, opset, x, c.axes, opset == 18 ? 3 : 1);
        const std::vector<Group> groups = Groups(x, FlagsOf(c.axes, c.dims.size()));
        const auto got = ElementsOf<float>(out);
        ASSERT_EQ(got.size(), groups.size());
        for (std::size_t i = 0; i < got.size(); ++i) {
          // Blocks of at most 256 float additions, then double; squares and exp round once more.
          const double want = of(groups[i].terms);
          const double terms = std::min<double>(static_cast<double>(groups[i].terms.size()), 256);
          ASSERT_NEAR(got[i], want, (terms + 4) * FLT_EPSILON * std::max(1.0, std::abs(want))) << i;
        }
      }
    }
  }
}

TEST(Reduce, SumsAreNotNaive) {
  // Adding one by one in float stops at 2^24; so does a lane of 16 at 2^28.
  const std::size_t count = (std::size_t{1} << 24) + 1000;
  for (const Dims& dims :
       {Dims{1, static_cast<std::int64_t>(count)}, Dims{static_cast<std::int64_t>(count), 1},
        Dims{static_cast<std::int64_t>(count / 4), 4}}) {
    std::vector<float> ones(static_cast<std::size_t>(ElementCount(dims)), 1.0f);
    const Tensor x = MakeTensor(dims, ones);
    EXPECT_EQ(ElementsOf<float>(Reduced("ReduceSum", 13, x, {0, 1})),
              std::vector<float>{static_cast<float>(count)});
    EXPECT_EQ(ElementsOf<float>(Reduced("ReduceMean", 18, x, {0, 1})), std::vector<float>{1});
  }
}

TEST(Reduce, ShapesOfResults) {
  const Tensor x = RandomTensor({2, 3, 4}, 1);
  EXPECT_EQ(Reduced("ReduceSum", 13, x, {1}).dims(), (Dims{2, 1, 4}));
  EXPECT_EQ(Reduced("ReduceSum", 13, x, {}).dims(), (Dims{1, 1, 1}));
  OpRunner flat("ReduceMax", 13);
  flat.Set("keepdims", std::int64_t{0}).Set("axes", std::vector<std::int64_t>{0, -1});
  EXPECT_EQ(flat.Run1({x}).dims(), (Dims{3}));
  OpRunner scalar("ReduceMax", 18);
  scalar.Set("keepdims", std::int64_t{0});
  EXPECT_EQ(scalar.Run1({x}).dims(), Dims{});
}

TEST(Reduce, NoAxesMayMeanNothingIsReduced) {
  const Tensor x = MakeTensor<float>({2, 2}, {-2, 3, 0.5, 4});
  const auto run = [&](const char* op) {
    OpRunner runner(op, 18);
    return ElementsOf<float>(runner.Set("noop_with_empty_axes", std::int64_t{1}).Run1({x}));
  };
  EXPECT_EQ(run("ReduceSum"), (std::vector<float>{-2, 3, 0.5, 4}));
  EXPECT_EQ(run("ReduceMean"), (std::vector<float>{-2, 3, 0.5, 4}));
  EXPECT_EQ(run("ReduceL1"), (std::vector<float>{2, 3, 0.5, 4}));
  EXPECT_EQ(run("ReduceSumSquare"), (std::vector<float>{4, 9, 0.25, 16}));  // as ONNX Runtime
  OpRunner old("ReduceMean", 13);  // before the attribute existed
  EXPECT_EQ(old.Run1({x}).elements(), 1);
}

TEST(Reduce, IntegersWrapAndAreCut) {
  constexpr std::int32_t kMax = std::numeric_limits<std::int32_t>::max();
  constexpr std::int32_t kMin = std::numeric_limits<std::int32_t>::min();
  const auto run = [](const char* op, const std::vector<std::int32_t>& x) {
    const Tensor out = Reduced(op, 18, MakeTensor({static_cast<std::int64_t>(x.size())}, x), {});
    EXPECT_EQ(out.dtype(), DType::kInt32);
    return ElementsOf<std::int32_t>(out).at(0);
  };
  EXPECT_EQ(run("ReduceSum", {kMax, 1}), kMin);
  EXPECT_EQ(run("ReduceProd", {kMax, kMax}), 1);
  EXPECT_EQ(run("ReduceL1", {kMin}), kMin);
  EXPECT_EQ(run("ReduceL1", {-3, 4}), 7);
  EXPECT_EQ(run("ReduceMean", {-3, -4}), -3);
  EXPECT_EQ(run("ReduceL2", {-3, 4}), 5);
  EXPECT_EQ(run("ReduceL2", {kMin, kMin, kMin}), kMax);  // saturates
  EXPECT_EQ(run("ReduceLogSum", {10, 10}), 2);
  EXPECT_EQ(run("ReduceLogSumExp", {1000, 1000}), 1000);
  EXPECT_EQ(run("ReduceMax", {kMin, -1, kMin}), -1);
  EXPECT_EQ(run("ReduceMin", {7, kMax}), 7);
}

TEST(Reduce, OtherTypes) {
  const Tensor bytes = MakeTensor<std::uint8_t>({2, 2}, {200, 3, 4, 100});
  EXPECT_EQ(ElementsOf<std::uint8_t>(Reduced("ReduceMax", 18, bytes, {1})),
            (std::vector<std::uint8_t>{200, 100}));
  const Tensor bools = MakeBools({2, 2}, {0, 1, 0, 0});
  EXPECT_EQ(ElementsOf<std::uint8_t>(Reduced("ReduceMax", 20, bools, {1})),
            (std::vector<std::uint8_t>{1, 0}));
  const Tensor halves = MakeTensor<std::uint16_t>({2}, {0x3C00, 0x4000}, DType::kFloat16);  // 1, 2
  const Tensor mean = Reduced("ReduceMean", 13, halves, {0});
  EXPECT_EQ(mean.dtype(), DType::kFloat16);
  EXPECT_EQ(ElementsOf<std::uint16_t>(mean), std::vector<std::uint16_t>{0x3E00});  // 1.5
  const Tensor doubles = MakeTensor<double>({2}, {1e200, 1e-200});
  EXPECT_EQ(ElementsOf<double>(Reduced("ReduceProd", 13, doubles, {0})), std::vector<double>{1});
  EXPECT_TRUE(OpRunner("ReduceSum", 13).Fails({bools}, ErrorCode::kUnsupported));
}

TEST(Reduce, OverNothing) {
  const Tensor x = MakeTensor<float>({2, 0}, {});
  const auto run = [&](const char* op) {
    const auto out = ElementsOf<float>(Reduced(op, 18, x, {1}));
    EXPECT_EQ(out.size(), 2);
    return out.at(1);
  };
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(run("ReduceSum"), 0);
  EXPECT_EQ(run("ReduceL2"), 0);
  EXPECT_EQ(run("ReduceProd"), 1);
  EXPECT_EQ(run("ReduceMax"), -infinity);
  EXPECT_EQ(run("ReduceMin"), infinity);
  EXPECT_EQ(run("ReduceLogSumExp"), -infinity);
  EXPECT_TRUE(std::isnan(run("ReduceMean")));
  EXPECT_EQ(Reduced("ReduceSum", 18, x, {0}).dims(), (Dims{1, 0}));
}

TEST(Reduce, OverNothingInEveryOrder) {
  // Each axis of 0 elements, reduced alone and with others.
  for (const Dims& dims : {Dims{0, 3, 2}, Dims{3, 0, 2}, Dims{3, 2, 0}}) {
    for (const std::vector<std::int64_t>& axes :
         {std::vector<std::int64_t>{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}}) {
      for (const auto& [op, of] : kReferences) {
        const Tensor x = MakeTensor<float>(dims, {});
        const auto out = ElementsOf<float>(Reduced(op, 18, x, axes));
        const double want = of({});
        for (const float y : out) {
          ASSERT_TRUE(y == want || (std::isnan(y) && std::isnan(want))) << op << DimsText(dims);
        }
      }
    }
  }
}

TEST(Reduce, NanDecidesMaxAndMin) {
  for (const std::size_t count : {3, 40, 600, 1200}) {  // the tail, lanes, and folded rows
    for (const std::size_t at : {std::size_t{0}, count / 2, count - 1}) {
      std::vector<float> elements(count, 1.0f);
      elements[at] = std::nanf("");
      const auto size = static_cast<std::int64_t>(count);
      for (const char* op : {"ReduceMax", "ReduceMin"}) {
        for (const Dims& dims : {Dims{size, 1}, Dims{1, size}}) {
          const auto out = ElementsOf<float>(Reduced(op, 13, MakeTensor(dims, elements), {0, 1}));
          EXPECT_TRUE(std::isnan(out.at(0))) << op << " of " << count << " at " << at;
        }
        const Tensor columns = MakeTensor(Dims{size, 2}, [&] {
          std::vector<float> both;
          for (const float x : elements) both.insert(both.end(), {2.0f, x});
          return both;
        }());
        const auto out = ElementsOf<float>(Reduced(op, 13, columns, {0}));
        EXPECT_EQ(out.at(0), 2);
        EXPECT_TRUE(std::isnan(out.at(1))) << op << " of columns " << count << " at " << at;
      }
    }
  }
}

TEST(Reduce, LogSumExpOfLargeNumbers) {
  const Tensor x = MakeTensor<float>({2, 2}, {1000, 1000, -1000, -HUGE_VALF});
  const auto out = ElementsOf<float>(Reduced("ReduceLogSumExp", 18, x, {1}));
  EXPECT_FLOAT_EQ(out[0], 1000 + std::log(2.0f));
  EXPECT_FLOAT_EQ(out[1], -1000);
}

TEST(Reduce, WrongAxesAreErrors) {
  const Tensor x = RandomTensor({2, 3}, 1);
  EXPECT_TRUE(OpRunner("ReduceSum", 13).Fails({x, MakeInts({2})}));
  EXPECT_TRUE(OpRunner("ReduceSum", 13).Fails({x, MakeInts({-3})}));
  EXPECT_TRUE(OpRunner("ReduceSum", 13).Fails({x, x}));
  OpRunner old("ReduceMean", 1);
  EXPECT_TRUE(old.Set("axes", std::vector<std::int64_t>{std::int64_t{1} << 62}).Fails({x}));
}

}  // namespace
}  // namespace espalier::runtime
