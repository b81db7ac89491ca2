#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

}  // namespace
}  // namespace espalier::runtime
