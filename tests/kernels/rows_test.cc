#include "espalier/kernels/rows.h"

#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

constexpr std::size_t kCounts[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 5000, 8193};

std::vector<float> Random(std::size_t count, float low, float high, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> pick(low, high);
  std::vector<float> values(count);
  for (float& v : values) v = pick(random);
  return values;
}

void ExpectActivatesLikeThePlainFunction() {
  for (int kind = 0; kind <= static_cast<int>(ActivationKind::kTanh); ++kind) {
    const Activation activation{static_cast<ActivationKind>(kind), 0.2f, 0.9f};
    for (const std::size_t count : kCounts) {
      const std::vector<float> x = Random(count, -4, 4, 1);
      const std::vector<float> residual = Random(count, -4, 4, 2);
      std::vector<float> plain = x, added = x;
      ActivateRow(activation, nullptr, plain.data(), count);
      ActivateRow(activation, residual.data(), added.data(), count);
      for (std::size_t i = 0; i < count; ++i) {
        // Highway's exp and tanh are within 4 ulp.
        const float want = Activate(activation, x[i]);
        ASSERT_NEAR(plain[i], want, 8 * FLT_EPSILON * (std::abs(want) + 1)) << kind << " " << i;
        const float sum = Activate(activation, x[i] + residual[i]);
        ASSERT_NEAR(added[i], sum, 8 * FLT_EPSILON * (std::abs(sum) + 1)) << kind << " " << i;
      }
    }
  }
}

TEST(Rows, ActivatesLikeThePlainFunction) { OnEachIsa(ExpectActivatesLikeThePlainFunction); }

void ExpectSoftmaxSumsToOneAndMatchesDouble() {
  for (const std::size_t count : kCounts) {
    std::vector<float> x = Random(count, -20, 20, 3);
    x[count / 2] = 90;  // exp(90) alone would be infinite
    std::vector<float> soft(count), log(count);
    SoftmaxRow(x.data(), soft.data(), count);
    LogSoftmaxRow(x.data(), log.data(), count);
    double sum = 0;
    for (const float v : x) sum += std::exp(double{v} - 90);
    for (std::size_t i = 0; i < count; ++i) {
      const double want = double{x[i]} - 90 - std::log(sum);
      // x - 90 rounds to 4e-6, which is the relative error of its exponential.
      ASSERT_NEAR(soft[i], std::exp(want), 1e-5 * std::exp(want) + 1e-37) << count << " " << i;
      ASSERT_NEAR(log[i], want, 2e-5) << count << " " << i;
    }
  }
}

TEST(Rows, SoftmaxSumsToOneAndMatchesDouble) { OnEachIsa(ExpectSoftmaxSumsToOneAndMatchesDouble); }

void ExpectMomentsAndNormalizeMatchDouble() {
  for (const std::size_t count : kCounts) {
    const std::vector<float> x = Random(count, 99, 101, 4);
    const std::vector<float> scale = Random(count, -2, 2, 5);
    const std::vector<float> bias = Random(count, -2, 2, 6);
    double mean = 0, variance = 0;
    for (const float v : x) mean += v / static_cast<double>(count);
    for (const float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(count);
    const Moments moments = RowMoments(x.data(), count);
    EXPECT_NEAR(moments.mean, mean, 100 * FLT_EPSILON * 4);
    EXPECT_NEAR(moments.variance, variance, 1e-4);
    std::vector<float> y(count);
    NormalizeRow(x.data(), 100, 0.5f, scale.data(), bias.data(), y.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_NEAR(y[i], (x[i] - 100) * 0.5f * scale[i] + bias[i], 1e-5) << i;
    }
    NormalizeRow(x.data(), 100, 0.5f, nullptr, nullptr, y.data(), count);
    for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(y[i], (x[i] - 100) * 0.5f, 1e-6) << i;
    ScaleRow(x.data(), 3, -1, y.data(), count);
    for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(y[i], x[i] * 3 - 1, 1e-4) << i;
  }
}

TEST(Rows, MomentsAndNormalizeMatchDouble) { OnEachIsa(ExpectMomentsAndNormalizeMatchDouble); }

double WantPool(PoolKind kind, const PoolRowShape& shape, const std::vector<const float*>& rows,
                std::size_t x) {
  double result = kind == PoolKind::kMax ? -std::numeric_limits<double>::infinity() : 0;
  for (const float* row : rows) {
    for (std::size_t k = 0; k < shape.kernel; ++k) {
      const std::size_t at = x * shape.stride + k;
      if (at < shape.pad || at - shape.pad >= shape.in) continue;
      const double v = row[at - shape.pad];
      result = kind == PoolKind::kMax ? std::max(result, v) : result + v;
    }
  }
  return result;
}

void ExpectPoolsEveryWindowOfARow() {
  for (const PoolKind kind : {PoolKind::kMax, PoolKind::kSum}) {
    for (const std::size_t in : {1, 2, 5, 8, 13, 33, 70}) {
      for (const std::size_t kernel : {1, 2, 3, 5, 8}) {
        for (const std::size_t stride : {1, 2, 3}) {
          for (const std::size_t pad : {0, 1, 2}) {
            if (in + 2 * pad < kernel) continue;
            const PoolRowShape shape{in, (in + 2 * pad - kernel) / stride + 1, kernel, stride, pad};
            const std::vector<float> data = Random(3 * in, -9, 9, 8);
            for (const std::size_t row_count : {0, 1, 3}) {
              std::vector<const float*> rows;
              for (std::size_t r = 0; r < row_count; ++r) rows.push_back(data.data() + r * in);
              std::vector<float> scratch(PoolRowScratch(shape)), out(shape.out, -1);
              PoolRow(kind, shape, rows.data(), row_count, scratch.data(), out.data());
              for (std::size_t x = 0; x < shape.out; ++x) {
                const double want = WantPool(kind, shape, rows, x);
                if (std::isinf(want)) {
                  ASSERT_EQ(out[x], want);
                } else {
                  ASSERT_NEAR(out[x], want, 24 * 9 * 24 * FLT_EPSILON)
                      << "in " << in << " kernel " << kernel << " stride " << stride << " x " << x;
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(Rows, PoolsEveryWindowOfARow) { OnEachIsa(ExpectPoolsEveryWindowOfARow); }

}  // namespace
}  // namespace espalier
