#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

// Index of each element along `axis`, and everything else, as [outer, size, inner].
struct Split {
  std::size_t outer = 1, size = 1, inner = 1;
};
Split At(const Dims& dims, std::size_t axis) {
  Split split;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    (i < axis    ? split.outer
     : i == axis ? split.size
                 : split.inner) *= static_cast<std::size_t>(dims[i]);
  }
  return split;
}

void ExpectSoftmax(const Tensor& x_tensor, const Tensor& got, const Split& s, bool log) {
  const std::vector<double> x = x_tensor.AsDoubles(), y = got.AsDoubles();
  ASSERT_EQ(got.dims(), x_tensor.dims());
  for (std::size_t o = 0; o < s.outer; ++o) {
    for (std::size_t i = 0; i < s.inner; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < s.size; ++k) sum += std::exp(x[(o * s.size + k) * s.inner + i]);
      for (std::size_t k = 0; k < s.size; ++k) {
        const std::size_t at = (o * s.size + k) * s.inner + i;
        const double want = log ? x[at] - std::log(sum) : std::exp(x[at]) / sum;
        ASSERT_NEAR(y[at], want, 2e-6 * (1 + std::abs(want))) << at;
      }
    }
  }
}

TEST(Softmax, RunsAlongAnyAxis) {
  for (const Dims& dims :
       {Dims{5}, Dims{3, 7}, Dims{2, 5, 3}, Dims{2, 9, 4, 17}, Dims{3, 200, 130}}) {
    const Tensor x = RandomTensor(dims, 1, -4, 4);
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      for (const char* op : {"Softmax", "LogSoftmax"}) {
        OpRunner softmax(op);
        softmax.Set("axis", static_cast<std::int64_t>(axis)).Threads(2);
        ExpectSoftmax(x, softmax.Run1({x}), At(dims, axis), op[0] == 'L');
      }
    }
  }
}

TEST(Softmax, FlattensBeforeOpset13) {
  const Tensor x = RandomTensor({2, 3, 4}, 1, -4, 4);
  ExpectSoftmax(x, OpRunner("Softmax", 11).Run1({x}), {2, 12, 1}, false);
  ExpectSoftmax(x, OpRunner("Softmax", 11).Set("axis", std::int64_t{2}).Run1({x}), {6, 4, 1},
                false);
  ExpectSoftmax(x, OpRunner("Softmax", 11).Set("axis", std::int64_t{0}).Run1({x}), {1, 24, 1},
                false);
  EXPECT_TRUE(OpRunner("Softmax").Set("axis", std::int64_t{3}).Fails({x}));
}

TEST(Hardmax, MarksTheFirstOfTheLargest) {
  const Tensor x = MakeTensor<float>({2, 4}, {1, 3, 3, 0, 2, 1, 0, -1});
  EXPECT_EQ(ElementsOf<float>(OpRunner("Hardmax").Run1({x})),
            (std::vector<float>{0, 1, 0, 0, 1, 0, 0, 0}));
}

TEST(BatchNormalization, ScalesEachChannel) {
  const Tensor x = RandomTensor({2, 3, 5, 7}, 1), scale = RandomTensor({3}, 2);
  const Tensor bias = RandomTensor({3}, 3), mean = RandomTensor({3}, 4);
  const Tensor variance = RandomTensor({3}, 5, 0.5f, 2);
  const Tensor y = OpRunner("BatchNormalization").Run1({x, scale, bias, mean, variance});
  for (std::size_t i = 0; i < 210; ++i) {
    const std::size_t c = i / 35 % 3;
    const double want = (x.AsDoubles()[i] - mean.AsDoubles()[c]) /
                            std::sqrt(variance.AsDoubles()[c] + 1e-5) * scale.AsDoubles()[c] +
                        bias.AsDoubles()[c];
    ASSERT_NEAR(y.AsDoubles()[i], want, 4e-6);
  }
  OpRunner training("BatchNormalization");
  EXPECT_TRUE(training.Set("training_mode", std::int64_t{1}).IsRefused(5));
  EXPECT_TRUE(OpRunner("BatchNormalization").Fails({x, bias, bias, mean, RandomTensor({2}, 1)}));
  EXPECT_TRUE(OpRunner("BatchNormalization").Fails({mean, bias, bias, mean, variance}));
}

// Mean 0 and variance 1 over what is normalized, whatever the operator.
void ExpectNormal(const std::vector<double>& y, std::size_t size, double tolerance) {
  for (std::size_t begin = 0; begin < y.size(); begin += size) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < size; ++i) mean += y[begin + i] / static_cast<double>(size);
    for (std::size_t i = 0; i < size; ++i) {
      square += y[begin + i] * y[begin + i] / static_cast<double>(size);
    }
    EXPECT_NEAR(mean, 0, tolerance);
    EXPECT_NEAR(square, 1, tolerance);
  }
}

TEST(Normalizations, GiveMeanZeroAndVarianceOne) {
  const Tensor x = RandomTensor({2, 6, 8, 9}, 1, 50, 60);
  const auto ones = [](std::int64_t n) {
    return MakeTensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), 1));
  };
  const auto zeros = [](std::int64_t n) {
    return MakeTensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), 0));
  };
  ExpectNormal(OpRunner("InstanceNormalization").Run1({x, ones(6), zeros(6)}).AsDoubles(), 72,
               1e-4);
  ExpectNormal(OpRunner("GroupNormalization", 21)
                   .Set("num_groups", std::int64_t{3})
                   .Run1({x, ones(6), zeros(6)})
                   .AsDoubles(),
               144, 1e-4);
  ExpectNormal(OpRunner("GroupNormalization", 18)
                   .Set("num_groups", std::int64_t{3})
                   .Run1({x, ones(3), zeros(3)})
                   .AsDoubles(),
               144, 1e-4);
  ExpectNormal(OpRunner("MeanVarianceNormalization")
                   .Set("axes", std::vector<std::int64_t>{2, 3})
                   .Run1({x})
                   .AsDoubles(),
               72, 1e-4);
  ExpectNormal(OpRunner("LayerNormalization").Run1({x, ones(9), zeros(9)}).AsDoubles(), 9, 1e-4);
  EXPECT_TRUE(OpRunner("GroupNormalization")
                  .Set("num_groups", std::int64_t{4})
                  .Fails({x, ones(4), zeros(4)}));
  EXPECT_TRUE(OpRunner("LayerNormalization").Fails({x, ones(8)}));
}

TEST(LayerNormalization, GivesItsStatisticsAndBroadcastsItsScale) {
  const Tensor x = RandomTensor({4, 3, 5}, 1);
  OpRunner op("LayerNormalization");
  op.Set("axis", std::int64_t{1}).Outputs(3);
  const std::vector<Tensor> y = op.Run({x, MakeTensor<float>({5}, {1, 2, 3, 4, 5})});
  EXPECT_EQ(y[1].dims(), (Dims{4, 1, 1}));
  for (std::size_t i = 0; i < 60; ++i) {
    const double want = (x.AsDoubles()[i] - y[1].AsDoubles()[i / 15]) * y[2].AsDoubles()[i / 15] *
                        static_cast<double>(i % 5 + 1);
    EXPECT_NEAR(y[0].AsDoubles()[i], want, 1e-5);
  }
}

TEST(LpNormalization, DividesByTheNorm) {
  const Tensor x = MakeTensor<float>({2, 2}, {3, 4, 0, 0});
  EXPECT_EQ(ElementsOf<float>(OpRunner("LpNormalization").Run1({x})),
            (std::vector<float>{0.6f, 0.8f, 0, 0}));
  EXPECT_TRUE(OpRunner("LpNormalization").Set("p", std::int64_t{3}).IsRefused(1));
}

TEST(Lrn, LooksAtNeighbouringChannels) {
  for (const float beta : {0.75f, 0.5f}) {
    for (const std::int64_t size : {1, 2, 3, 5, 99}) {
      const Tensor x = RandomTensor({2, 7, 3}, 1);
      const Tensor y =
          OpRunner("LRN").Set("size", size).Set("alpha", 2.0f).Set("beta", beta).Run1({x});
      for (std::int64_t i = 0; i < 42; ++i) {
        const std::int64_t c = i / 3 % 7;
        double sum = 0;
        for (std::int64_t k = c - (size - 1) / 2; k <= c + size / 2; ++k) {
          if (k < 0 || k >= 7) continue;
          const double v = x.AsDoubles()[static_cast<std::size_t>(i + (k - c) * 3)];
          sum += v * v;
        }
        const auto at = static_cast<std::size_t>(i);
        const double want =
            x.AsDoubles()[at] / std::pow(1 + 2.0 / static_cast<double>(size) * sum, double{beta});
        ASSERT_NEAR(y.AsDoubles()[at], want, 1e-6);
      }
    }
  }
  EXPECT_TRUE(OpRunner("LRN").Set("size", std::int64_t{0}).Fails({RandomTensor({1, 2, 3}, 1)}));
}

}  // namespace
}  // namespace espalier::runtime
