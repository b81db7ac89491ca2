#include "espalier/kernels/rows.h"

#include <fmt/format.h>

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

// The same bits of meaning: NaN for NaN, else close.
void ExpectSame(float got, float want, const std::string& where) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << where << ": " << got << " instead of NaN";
  } else if (std::isinf(want)) {
    EXPECT_EQ(got, want) << where;
  } else {
    EXPECT_NEAR(got, want, 8 * FLT_EPSILON * (std::abs(want) + 1)) << where;
  }
}

TEST(Rows, ActivatesNanAndFarNumbersOnEveryIsa) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> special = {kNan, -kNan,  kInfinity, -kInfinity, 87,     -87,   89,  -89,
                                      104,  -104.5, 130,       -130,       1000,   -1000, 1e6, -1e6,
                                      0.0f, -0.0f,  FLT_MAX,   -FLT_MAX,   1e-40f, -200};
  OnEachIsa([&] {
    for (int kind = 0; kind <= static_cast<int>(ActivationKind::kTanh); ++kind) {
      const Activation activation{static_cast<ActivationKind>(kind), 0.2f, 0.5f};
      for (std::size_t begin = 0; begin < special.size(); ++begin) {  // every lane and the rest
        std::vector<float> x(special.begin() + static_cast<std::ptrdiff_t>(begin), special.end());
        const std::vector<float> before = x;
        ActivateRow(activation, nullptr, x.data(), x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          ExpectSame(x[i], Activate(activation, before[i]),
                     fmt::format("kind {} of {}", kind, before[i]));
        }
      }
    }
  });
}

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

TEST(Rows, SoftmaxOfNanIsNanOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t count : {1, 3, 8, 37}) {
      for (const std::size_t at : {std::size_t{0}, count / 2, count - 1}) {
        std::vector<float> x = Random(count, -20, 20, 3);
        x[at] = std::numeric_limits<float>::quiet_NaN();
        std::vector<float> soft(count), log(count);
        SoftmaxRow(x.data(), soft.data(), count);
        LogSoftmaxRow(x.data(), log.data(), count);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_TRUE(std::isnan(soft[i]) && std::isnan(log[i])) << count << " " << at << " " << i;
        }
      }
    }
  });
}

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

// PoolKind::kMax to the letter.
float WantMaxWithNan(const PoolRowShape& shape, const std::vector<const float*>& rows,
                     std::size_t x) {
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  float result = kNothing;
  for (std::size_t k = 0; k < shape.kernel; ++k) {
    const std::size_t at = x * shape.stride + k;
    float column = kNothing;
    if (at >= shape.pad && at - shape.pad < shape.in) {
      for (const float* row : rows) column = larger(column, row[at - shape.pad]);
    }
    result = larger(result, column);
  }
  return result;
}

TEST(Rows, MaxOfNanIsTheSameInEveryLaneOnEveryIsa) {
  std::vector<float> data = Random(3 * 70, -9, 9, 8);
  for (std::size_t i = 0; i < data.size(); i += 1 + i % 5) {
    data[i] = std::numeric_limits<float>::quiet_NaN();
  }
  OnEachIsa([&] {
    for (const std::size_t kernel : {1, 2, 3, 5}) {
      for (const std::size_t stride : {1, 2, 3}) {
        for (const std::size_t pad : {0, 1}) {
          const PoolRowShape shape{70, (70 + 2 * pad - kernel) / stride + 1, kernel, stride, pad};
          const std::vector<const float*> rows = {data.data(), data.data() + 70, data.data() + 140};
          std::vector<float> scratch(PoolRowScratch(shape)), out(shape.out, -1);
          PoolRow(PoolKind::kMax, shape, rows.data(), 3, scratch.data(), out.data());
          for (std::size_t x = 0; x < shape.out; ++x) {
            const float want = WantMaxWithNan(shape, rows, x);
            ASSERT_TRUE(out[x] == want || (std::isnan(out[x]) && std::isnan(want)))
                << "kernel " << kernel << " stride " << stride << " x " << x << ": " << out[x]
                << " instead of " << want;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace espalier
