#include "espalier/kernels/map_row.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "espalier/base/random.h"
#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"

namespace espalier {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

double MapOne(MapKind kind, double x) {
  switch (kind) {
    case MapKind::kExp:
      return std::exp(x);
    case MapKind::kErf:
      return std::erf(x);
    case MapKind::kGelu:
      return x / 2 * std::erfc(-x / std::numbers::sqrt2);
    case MapKind::kTanhGelu:
      return x / (1 + std::exp(-2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case MapKind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case MapKind::kTanh:
      return std::tanh(x);
  }
  return 0;
}

constexpr MapKind kKinds[] = {MapKind::kExp,      MapKind::kErf,     MapKind::kGelu,
                              MapKind::kTanhGelu, MapKind::kSigmoid, MapKind::kTanh};

void ExpectMapsLikeDouble() {
  std::vector<float> x;
  for (float v = 1e-6f; v < 88; v *= 1.0005f) {
    x.push_back(v);
    if (v < 80) x.push_back(-v);
  }
  std::vector<float> out(x.size());
  for (const MapKind kind : kKinds) {
    MapRow(kind, x.data(), out.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = MapOne(kind, x[i]);
      const bool gelu = kind == MapKind::kGelu || kind == MapKind::kTanhGelu;
      // For gelu, 1 + erf has the absolute error of its parts.
      const double size = gelu ? std::max(std::abs(double{x[i]}), 1.0) : std::abs(want);
      ASSERT_NEAR(out[i], want, 8 * 0x1p-24 * size + 1e-37)
          << static_cast<int>(kind) << " " << x[i];
    }
  }
}
TEST(MapRow, AgreesWithDouble) { OnEachIsa(&ExpectMapsLikeDouble); }

void ExpectSpecialNumbers() {
  const std::vector<float> x = {kInf, -kInf, kNan, 0.0f, 89.0f, -200.0f, 3e38f, -3e38f};
  struct Row {
    MapKind kind;
    std::vector<float> want;
  };
  const Row rows[] = {{MapKind::kExp, {kInf, 0, kNan, 1, kInf, 0, kInf, 0}},
                      {MapKind::kErf, {1, -1, kNan, 0, 1, -1, 1, -1}},
                      {MapKind::kGelu, {kInf, 0, kNan, 0, 89, 0, 3e38f, 0}},
                      {MapKind::kTanhGelu, {kInf, 0, kNan, 0, 89, 0, 3e38f, 0}},
                      {MapKind::kSigmoid, {1, 0, kNan, 0.5f, 1, 0, 1, 0}},
                      {MapKind::kTanh, {1, -1, kNan, 0, 1, -1, 1, -1}}};
  for (const Row& row : rows) {
    std::vector<float> out(x.size());
    MapRow(row.kind, x.data(), out.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(row.want[i])) {
        EXPECT_TRUE(std::isnan(out[i])) << static_cast<int>(row.kind) << " gives " << out[i];
      } else {
        EXPECT_EQ(out[i], row.want[i]) << static_cast<int>(row.kind) << " of " << x[i];
      }
    }
  }
}
TEST(MapRow, SpecialNumbers) { OnEachIsa(&ExpectSpecialNumbers); }

void ExpectWritesNothingBeyond() {
  for (std::size_t count = 0; count < 40; ++count) {
    std::vector<float> x(count, 0.5f);
    std::vector<float> out(count + 20, -7);
    MapRow(MapKind::kErf, x.data(), out.data(), count);
    for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(out[i], std::erf(0.5f), 1e-6);
    for (std::size_t i = count; i < out.size(); ++i) ASSERT_EQ(out[i], -7);
    MapRow(MapKind::kErf, x.data(), x.data(), count);
    ASSERT_TRUE(std::equal(x.begin(), x.end(), out.begin()));
  }
}
TEST(MapRow, WritesNothingBeyondAndWorksInPlace) { OnEachIsa(&ExpectWritesNothingBeyond); }

float CombineOne(CombineKind kind, float a, float b) {
  switch (kind) {
    case CombineKind::kAdd:
      return a + b;
    case CombineKind::kSubtract:
      return a - b;
    case CombineKind::kMultiply:
      return a * b;
    case CombineKind::kDivide:
      return a / b;
    case CombineKind::kMax:
      return a > b || std::isnan(a) ? a : b;
    case CombineKind::kMin:
      return a < b || std::isnan(a) ? a : b;
  }
  return 0;
}

void ExpectCombinesExactly() {
  for (int k = 0; k <= static_cast<int>(CombineKind::kMin); ++k) {
    const auto kind = static_cast<CombineKind>(k);
    for (std::size_t count = 0; count < 70; ++count) {
      std::vector<float> a(count + 1), b(count + 1);
      for (std::size_t i = 0; i <= count; ++i) {
        a[i] = static_cast<float>(RandomAt(1, i) % 200) / 8 - 12;
        b[i] = i % 7 == 3 ? kNan : static_cast<float>(RandomAt(2, i) % 200) / 8 - 12;
      }
      for (const std::size_t a_step : {1, 0}) {
        for (const std::size_t b_step : {1, 0}) {
          std::vector<float> out(count + 9, -7);
          CombineRow(kind, a.data(), a_step, b.data(), b_step, out.data(), count);
          for (std::size_t i = 0; i < count; ++i) {
            const float want = CombineOne(kind, a[i * a_step], b[i * b_step]);
            ASSERT_TRUE(out[i] == want || (std::isnan(out[i]) && std::isnan(want)))
                << k << " " << count << " " << i << ": " << out[i] << ", expected " << want;
          }
          for (std::size_t i = count; i < out.size(); ++i) ASSERT_EQ(out[i], -7);
        }
      }
    }
  }
}
TEST(CombineRow, IsExact) { OnEachIsa(&ExpectCombinesExactly); }

}  // namespace
}  // namespace espalier
