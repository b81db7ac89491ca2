#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>

#include "espalier/kernels/activation.h"
#include "runtime/fused.h"
#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

// One matrix of a product, in double.
std::vector<double> Product(const double* a, const double* b, std::int64_t m, std::int64_t n,
                            std::int64_t k) {
  std::vector<double> y(static_cast<std::size_t>(m * n), 0);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t p = 0; p < k; ++p) {
      for (std::int64_t j = 0; j < n; ++j) {
        y[static_cast<std::size_t>(i * n + j)] += a[i * k + p] * b[p * n + j];
      }
    }
  }
  return y;
}

void ExpectClose(const Tensor& got, const std::vector<double>& want, double tolerance) {
  const std::vector<double> y = got.AsDoubles();
  ASSERT_EQ(y.size(), want.size());
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], want[i], tolerance) << i;
}

TEST(MatMul, BroadcastsBatchesLikeNumpy) {
  const struct {
    Dims a, b, y;
  } cases[] = {{{3, 4}, {4, 5}, {3, 5}},
               {{4}, {4, 5}, {5}},
               {{3, 4}, {4}, {3}},
               {{4}, {4}, {}},
               {{2, 3, 4}, {4, 5}, {2, 3, 5}},
               {{3, 4}, {2, 4, 5}, {2, 3, 5}},
               {{2, 1, 3, 4}, {7, 4, 5}, {2, 7, 3, 5}},
               {{7, 3, 4}, {2, 1, 4, 5}, {2, 7, 3, 5}},
               {{2, 3, 4}, {4}, {2, 3}},
               {{4}, {2, 4, 5}, {2, 5}},
               {{0, 4}, {4, 5}, {0, 5}},
               {{3, 0}, {0, 5}, {3, 5}},
               {{130, 70}, {70, 90}, {130, 90}},
               {{3, 70, 64}, {3, 64, 65}, {3, 70, 65}}};
  for (const auto& c : cases) {
    for (const int threads : {1, 2}) {
      const Tensor a = RandomTensor(c.a, 1), b = RandomTensor(c.b, 2);
      OpRunner op("MatMul");
      const Tensor y = op.Threads(threads).Run1({a, b});
      ASSERT_EQ(y.dims(), c.y) << DimsText(c.a) << " x " << DimsText(c.b);
      const std::int64_t k = c.a.back();
      const std::int64_t m = c.a.size() == 1 ? 1 : c.a[c.a.size() - 2];
      const std::int64_t n = c.b.size() == 1 ? 1 : c.b.back();
      Dims batch = c.y;
      if (c.b.size() > 1) batch.pop_back();
      if (c.a.size() > 1) batch.pop_back();
      std::vector<double> want;
      const std::vector<double> av = a.AsDoubles(), bv = b.AsDoubles();
      for (std::int64_t i = 0; i < ElementCount(batch); ++i) {
        std::int64_t rest = i, at_a = 0, at_b = 0, step_a = 1, step_b = 1;
        for (std::size_t back = 1; back <= batch.size(); ++back) {
          const std::int64_t index = rest % batch[batch.size() - back];
          rest /= batch[batch.size() - back];
          if (c.a.size() >= 2 + back) {
            const std::int64_t size = c.a[c.a.size() - 2 - back];
            at_a += (size == 1 ? 0 : index) * step_a;
            step_a *= size;
          }
          if (c.b.size() >= 2 + back) {
            const std::int64_t size = c.b[c.b.size() - 2 - back];
            at_b += (size == 1 ? 0 : index) * step_b;
            step_b *= size;
          }
        }
        const auto part = Product(av.data() + at_a * m * k, bv.data() + at_b * k * n, m, n, k);
        want.insert(want.end(), part.begin(), part.end());
      }
      ExpectClose(y, want, static_cast<double>(k + 1) * 4 * FLT_EPSILON);
    }
  }
}

TEST(MatMul, IntegersWrapAround) {
  const Tensor a = MakeTensor<std::int32_t>({1, 2}, {INT32_MAX, 2});
  const Tensor b = MakeTensor<std::int32_t>({2, 1}, {2, 3});
  EXPECT_EQ(ElementsOf<std::int32_t>(OpRunner("MatMul").Run1({a, b})),
            (std::vector<std::int32_t>{4}));
}

TEST(MatMul, AddsBiasAndResidualAndActivates) {
  const Tensor a = RandomTensor({2, 3, 4}, 1), b = RandomTensor({4, 5}, 2);
  const Tensor bias = RandomTensor({5}, 3), residual = RandomTensor({2, 3, 5}, 4);
  OpRunner op("MatMul");
  op.Set(kActivationAttribute, std::int64_t{static_cast<int>(ActivationKind::kRelu)});
  std::vector<double> want = Product(a.AsDoubles().data(), b.AsDoubles().data(), 6, 5, 4);
  for (std::size_t i = 0; i < want.size(); ++i) {
    want[i] = std::max(0.0, want[i] + bias.AsDoubles()[i % 5] + residual.AsDoubles()[i]);
  }
  ExpectClose(op.Run1({a, b, bias, residual}), want, 1e-5);
}

TEST(MatMul, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(OpRunner("MatMul").Fails({RandomTensor({2, 3}, 1), RandomTensor({2, 3}, 1)}));
  EXPECT_TRUE(OpRunner("MatMul").Fails({RandomTensor({}, 1), RandomTensor({2, 3}, 1)}));
  EXPECT_TRUE(OpRunner("MatMul").Fails({RandomTensor({2, 2, 3}, 1), RandomTensor({3, 3, 2}, 1)}));
  EXPECT_TRUE(OpRunner("MatMul").Fails({RandomTensor({2, 3}, 1), MakeInts({1, 2, 3})}));
}

TEST(Gemm, TransposesScalesAndBroadcastsTheAddend) {
  for (const std::int64_t ta : {0, 1}) {
    for (const std::int64_t tb : {0, 1}) {
      for (const Dims& c_dims : {Dims{}, Dims{1}, Dims{5}, Dims{1, 5}, Dims{3, 1}, Dims{3, 5}}) {
        const Tensor a = RandomTensor({3, 4}, 1), b = RandomTensor({4, 5}, 2);
        const auto transposed = [](const Tensor& t) {
          const std::vector<float> from = ElementsOf<float>(t);
          std::vector<float> to;
          for (std::int64_t j = 0; j < t.dims()[1]; ++j) {
            for (std::int64_t i = 0; i < t.dims()[0]; ++i) {
              to.push_back(from[static_cast<std::size_t>(i * t.dims()[1] + j)]);
            }
          }
          return MakeTensor<float>({t.dims()[1], t.dims()[0]}, to);
        };
        const Tensor c = RandomTensor(c_dims, 3);
        std::vector<double> want = Product(a.AsDoubles().data(), b.AsDoubles().data(), 3, 5, 4);
        for (std::size_t i = 0; i < want.size(); ++i) {
          const std::size_t row = c_dims.size() == 2 && c_dims[0] == 3 ? i / 5 : 0;
          const std::size_t columns = c_dims.empty() ? 1 : static_cast<std::size_t>(c_dims.back());
          want[i] = 0.5 * want[i] + 2 * c.AsDoubles()[row * columns + (columns == 1 ? 0 : i % 5)];
        }
        OpRunner gemm("Gemm");
        gemm.Set("transA", ta).Set("transB", tb).Set("alpha", 0.5f).Set("beta", 2.0f);
        ExpectClose(gemm.Run1({ta ? transposed(a) : a, tb ? transposed(b) : b, c}), want, 1e-5);
      }
    }
  }
}

TEST(Gemm, RefusesWhatDoesNotFit) {
  const Tensor a = RandomTensor({3, 4}, 1), b = RandomTensor({4, 5}, 2);
  EXPECT_TRUE(OpRunner("Gemm").Fails({a, a}));
  EXPECT_TRUE(OpRunner("Gemm").Fails({a, b, RandomTensor({4}, 1)}));
  EXPECT_TRUE(OpRunner("Gemm").Fails({RandomTensor({3, 4, 1}, 1), b}));
}

// Both ways through Einsum: by matrix products and by plain sums.
TEST(Einsum, SumsOverTheIndicesOfTheEquation) {
  const Tensor a = RandomTensor({2, 3, 4}, 1), b = RandomTensor({2, 4, 5}, 2);
  const auto run = [](const char* equation, const std::vector<Tensor>& inputs) {
    return OpRunner("Einsum").Set("equation", std::string(equation)).Run1(inputs);
  };
  const Tensor product = OpRunner("MatMul").Run1({a, b});
  ExpectClose(run("bij, bjk -> bik", {a, b}), product.AsDoubles(), 1e-6);
  ExpectClose(run("...ij,...jk", {a, b}), product.AsDoubles(), 1e-6);
  const Tensor swapped = run("bij,bjk->kib", {a, b});
  EXPECT_EQ(swapped.dims(), (Dims{5, 3, 2}));
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < 5; ++k) {
        EXPECT_NEAR(swapped.AsDoubles()[(k * 3 + i) * 2 + n],
                    product.AsDoubles()[(n * 3 + i) * 5 + k], 1e-6);
      }
    }
  }
  double all = 0;
  for (const double v : product.AsDoubles()) all += v;
  ExpectClose(run("bij,bjk->", {a, b}), {all}, 1e-4);
  const Tensor square = MakeTensor<float>({2, 2}, {1, 2, 3, 4});
  ExpectClose(run("ii", {square}), {5}, 0);
  ExpectClose(run("ii->i", {square}), {1, 4}, 0);
  ExpectClose(run("ij->ji", {square}), {1, 3, 2, 4}, 0);
  ExpectClose(run("i,i,i->i", {MakeTensor<float>({2}, {1, 2}), MakeTensor<float>({2}, {3, 4}),
                               MakeTensor<float>({2}, {5, 6})}),
              {15, 48}, 0);
}

TEST(Einsum, RefusesEquationsThatMakeNoSense) {
  const auto einsum = [](const char* equation) {
    OpRunner op("Einsum");
    op.Set("equation", std::string(equation));
    return op;
  };
  EXPECT_TRUE(einsum("ij->k").IsRefused(1));
  EXPECT_TRUE(einsum("ij->ii").IsRefused(1));
  EXPECT_TRUE(einsum("i1").IsRefused(1));
  EXPECT_TRUE(einsum("ij,jk").IsRefused(1));
  EXPECT_TRUE(einsum("ij").Fails({RandomTensor({2}, 1)}));
  EXPECT_TRUE(einsum("ij,jk").Fails({RandomTensor({2, 3}, 1), RandomTensor({4, 3}, 1)}));
}

}  // namespace
}  // namespace espalier::runtime
