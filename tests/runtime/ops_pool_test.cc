#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

struct PoolCase {
  Dims x;  // [n, c, h, w]
  std::vector<std::int64_t> kernel, strides, dilations, pads;
  bool ceil = false;
};

// Sizes as PyTorch has them: a window of ceil_mode begins in the input or in front of it.
std::int64_t OutSize(const PoolCase& c, std::size_t i) {
  const std::int64_t room =
      c.x[i + 2] + c.pads[i] + c.pads[i + 2] - (c.kernel[i] - 1) * c.dilations[i] - 1;
  std::int64_t out = (room + (c.ceil ? c.strides[i] - 1 : 0)) / c.strides[i] + 1;
  if (c.ceil && (out - 1) * c.strides[i] >= c.x[i + 2] + c.pads[i]) --out;
  return out;
}

struct Window {
  double max = -std::numeric_limits<double>::infinity(), sum = 0, squares = 0;
  int inside = 0, padded = 0;
  std::int64_t at = -1;
};

Window Look(const PoolCase& c, const double* plane, std::int64_t y, std::int64_t x) {
  Window window;
  for (std::int64_t r = 0; r < c.kernel[0]; ++r) {
    for (std::int64_t s = 0; s < c.kernel[1]; ++s) {
      const std::int64_t h = y * c.strides[0] - c.pads[0] + r * c.dilations[0];
      const std::int64_t w = x * c.strides[1] - c.pads[1] + s * c.dilations[1];
      if (h < c.x[2] + c.pads[2] && w < c.x[3] + c.pads[3]) ++window.padded;
      if (h < 0 || h >= c.x[2] || w < 0 || w >= c.x[3]) continue;
      const double v = plane[h * c.x[3] + w];
      if (v > window.max) window.at = h * c.x[3] + w;
      window.max = std::max(window.max, v);
      window.sum += v;
      window.squares += v * v;
      ++window.inside;
    }
  }
  return window;
}

OpRunner MakePool(const char* op, const PoolCase& c) {
  OpRunner pool(op, 22);
  pool.Set("kernel_shape", c.kernel).Set("strides", c.strides).Set("pads", c.pads);
  pool.Set("dilations", c.dilations).Set("ceil_mode", std::int64_t{c.ceil});
  return pool;
}

PoolCase RandomCase(std::mt19937& random) {
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  PoolCase c;
  c.x = {pick(1, 2), pick(1, 3), pick(5, 20), pick(5, 40)};
  const bool dilated = pick(0, 2) == 0;
  for (int i = 0; i < 2; ++i) {
    c.kernel.push_back(pick(1, dilated ? 2 : 5));
    c.strides.push_back(pick(1, 3));
    c.dilations.push_back(dilated ? pick(1, 2) : 1);
  }
  for (int i = 0; i < 4; ++i)
    c.pads.push_back(pick(0, c.kernel[static_cast<std::size_t>(i % 2)] - 1));
  c.ceil = pick(0, 1) == 1;
  return c;
}

TEST(Pool, MatchesItsDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const PoolCase c = RandomCase(random);
    const Tensor x = RandomTensor(c.x, 1 + static_cast<std::uint64_t>(round));
    const std::vector<double> data = x.AsDoubles();
    const bool count_padding = round % 2 == 0;
    const int threads = 1 + round % 3;
    const Tensor max = MakePool("MaxPool", c).Threads(threads).Run1({x});
    const std::vector<Tensor> indexed = MakePool("MaxPool", c).Outputs(2).Run({x});
    const Tensor average = MakePool("AveragePool", c)
                               .Threads(threads)
                               .Set("count_include_pad", std::int64_t{count_padding})
                               .Run1({x});
    const Tensor lp = MakePool("LpPool", c).Run1({x});
    const Dims want{c.x[0], c.x[1], OutSize(c, 0), OutSize(c, 1)};
    ASSERT_EQ(max.dims(), want);
    ASSERT_EQ(average.dims(), want);
    const auto indices = ElementsOf<std::int64_t>(indexed[1]);
    const auto maxima = max.AsDoubles(), indexed_maxima = indexed[0].AsDoubles();
    const auto averages = average.AsDoubles(), norms = lp.AsDoubles();
    for (std::int64_t i = 0; i < ElementCount(want); ++i) {
      const std::int64_t p = i / want[2] / want[3];
      const Window window =
          Look(c, data.data() + p * c.x[2] * c.x[3], i / want[3] % want[2], i % want[3]);
      const auto at = static_cast<std::size_t>(i);
      if (window.inside == 0) continue;
      ASSERT_EQ(maxima[at], window.max) << round << " " << i;
      ASSERT_EQ(indexed_maxima[at], window.max);
      ASSERT_EQ(indices[at], p * c.x[2] * c.x[3] + window.at);
      ASSERT_NEAR(averages[at], window.sum / (count_padding ? window.padded : window.inside), 3e-6);
      ASSERT_NEAR(norms[at], std::sqrt(window.squares), 3e-6);
    }
  }
}

TEST(MaxPool, TakesBytesAndOtherRanks) {
  const Tensor x = MakeTensor<std::int8_t>({1, 1, 5}, {-100, -3, -8, -9, -120});
  OpRunner pool("MaxPool");
  pool.Set("kernel_shape", std::vector<std::int64_t>{2});
  EXPECT_EQ(ElementsOf<std::int8_t>(pool.Run1({x})), (std::vector<std::int8_t>{-3, -3, -8, -9}));
  OpRunner cube("MaxPool");
  cube.Set("kernel_shape", std::vector<std::int64_t>{2, 2, 2});
  EXPECT_EQ(
      ElementsOf<float>(cube.Run1({MakeTensor<float>({1, 1, 2, 2, 2}, {1, 2, 3, 9, 5, 6, 7, 8})})),
      (std::vector<float>{9}));
}

TEST(MaxPool, RefusesWhatDoesNotFit) {
  const auto pool = [](std::vector<std::int64_t> kernel) {
    OpRunner op("MaxPool");
    op.Set("kernel_shape", std::move(kernel));
    return op;
  };
  const Tensor x = RandomTensor({1, 1, 4, 4}, 1);
  EXPECT_TRUE(pool({5, 5}).Fails({x}));
  EXPECT_TRUE(pool({2}).Fails({x}));
  EXPECT_TRUE(pool({0, 2}).Fails({x}));
  EXPECT_TRUE(pool({2, 2}).Set("strides", std::vector<std::int64_t>{1, INT64_MIN}).Fails({x}));
  EXPECT_TRUE(pool({2, 2}).Set("pads", std::vector<std::int64_t>{1, 1, 1}).Fails({x}));
  EXPECT_TRUE(pool({1, 1, 1, 1}).IsRefused(1));
  EXPECT_TRUE(OpRunner("MaxPool").Fails({x}));
}

TEST(MaxUnpool, UndoesMaxPool) {
  const Tensor x = RandomTensor({2, 3, 8, 6}, 1, 0.5f, 1);
  OpRunner pool("MaxPool"), unpool("MaxUnpool");
  for (OpRunner* op : {&pool, &unpool}) {
    op->Set("kernel_shape", std::vector<std::int64_t>{2, 2});
    op->Set("strides", std::vector<std::int64_t>{2, 2});
  }
  const std::vector<Tensor> pooled = pool.Outputs(2).Run({x});
  const Tensor back = unpool.Run1(pooled);
  ASSERT_EQ(back.dims(), x.dims());
  int kept = 0;
  for (std::size_t i = 0; i < 288; ++i) {
    const float v = ElementsOf<float>(back)[i];
    EXPECT_TRUE(v == 0 || v == ElementsOf<float>(x)[i]) << i;
    kept += v != 0;
  }
  EXPECT_EQ(kept, 72);
  const Tensor one = MakeTensor<float>({1, 1, 1, 1}, {1});
  for (const std::int64_t index : {std::int64_t{-1}, std::int64_t{4}, INT64_MAX}) {
    EXPECT_TRUE(unpool.Fails({one, MakeTensor<std::int64_t>({1, 1, 1, 1}, {index})}));
  }
}

TEST(GlobalPool, TakesWholePlanes) {
  const Tensor x = MakeTensor<float>({1, 2, 3}, {1, 5, 3, -4, -6, -2});
  EXPECT_EQ(ElementsOf<float>(OpRunner("GlobalAveragePool").Run1({x})),
            (std::vector<float>{3, -4}));
  EXPECT_EQ(ElementsOf<float>(OpRunner("GlobalMaxPool").Run1({x})), (std::vector<float>{5, -2}));
  EXPECT_NEAR(ElementsOf<float>(OpRunner("GlobalLpPool").Run1({x}))[0], std::sqrt(35.0f), 1e-6);
  EXPECT_TRUE(OpRunner("GlobalAveragePool").Fails({RandomTensor({1, 2, 0}, 1)}));
  const Tensor large = RandomTensor({3, 5, 129, 77}, 1);
  const Tensor y = OpRunner("GlobalAveragePool").Threads(2).Run1({large});
  const std::vector<double> data = large.AsDoubles();
  for (std::size_t p = 0; p < 15; ++p) {
    double sum = 0;
    for (std::size_t i = 0; i < 129 * 77; ++i) sum += data[p * 129 * 77 + i];
    EXPECT_NEAR(y.AsDoubles()[p], sum / (129 * 77), 1e-6);
  }
}

TEST(Regions, OutsideTheImagesAreErrors) {
  const Tensor x = RandomTensor({2, 1, 6, 6}, 1);
  OpRunner align("RoiAlign"), max("MaxRoiPool");
  max.Set("pooled_shape", std::vector<std::int64_t>{2, 2});
  const Tensor box = MakeTensor<float>({1, 4}, {0, 0, 5, 5});
  for (const std::int64_t image : {-1, 2}) EXPECT_TRUE(align.Fails({x, box, MakeInts({image})}));
  EXPECT_EQ(align.Run1({x, box, MakeInts({1})}).dims(), (Dims{1, 1, 1, 1}));
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(align.Fails({x, MakeTensor<float>({1, 4}, {0, 0, inf, 5}), MakeInts({1})}));
  EXPECT_TRUE(max.Fails({x, MakeTensor<float>({1, 5}, {NAN, 0, 0, 1, 1})}));
  EXPECT_NO_THROW(max.Run1({x, MakeTensor<float>({1, 5}, {1, -inf, 0, NAN, inf})}));
}

TEST(MaxPool, ANaNStaysAsTheLastOfAWindow) {
  for (const std::int64_t size : {5, 8, 21, 64}) {
    for (std::int64_t at = 0; at < size; ++at) {
      std::vector<float> x(static_cast<std::size_t>(size), 1.0f);
      x[static_cast<std::size_t>(at)] = NAN;
      const Tensor input = MakeTensor<float>({1, 1, 1, size}, x);
      OpRunner pool("MaxPool");
      pool.Set("kernel_shape", std::vector<std::int64_t>{1, 3});
      const auto y = ElementsOf<float>(pool.Run1({input}));
      for (std::int64_t i = 0; i < size - 2; ++i) {
        EXPECT_EQ(std::isnan(y[static_cast<std::size_t>(i)]), i + 2 == at) << size << " " << at;
      }
      const float max = ElementsOf<float>(OpRunner("GlobalMaxPool").Run1({input}))[0];
      EXPECT_EQ(std::isnan(max), at == size - 1) << size << " " << at;
    }
  }
}

}  // namespace
}  // namespace espalier::runtime
