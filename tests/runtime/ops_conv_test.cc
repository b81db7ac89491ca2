#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cfloat>
#include <cmath>
#include <random>

#include "espalier/kernels/activation.h"
#include "runtime/fused.h"
#include "runtime/ops/conv_shape.h"
#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

std::vector<double> Doubles(const Tensor& tensor) { return tensor.AsDoubles(); }

struct ConvCase {
  Dims x, w;
  std::vector<std::int64_t> strides, dilations, pads;
  std::int64_t group = 1;

  std::string Text() const {
    return fmt::format("x {} w {} strides {} dilations {} pads {} group {}", DimsText(x),
                       DimsText(w), fmt::join(strides, ","), fmt::join(dilations, ","),
                       fmt::join(pads, ","), group);
  }
};

// The definition, one output element at a time, in double: sum and sum of magnitudes.
struct Want {
  Dims dims;
  std::vector<double> sum, magnitude;
};

Want Define(const ConvCase& c, const Tensor& x_tensor, const Tensor& w_tensor,
            const Tensor& bias_tensor) {
  const std::size_t rank = c.x.size() - 2;
  const std::vector<double> x = Doubles(x_tensor), w = Doubles(w_tensor);
  const std::vector<double> bias =
      bias_tensor.dtype() == DType::kUnknown ? std::vector<double>() : Doubles(bias_tensor);
  Want want;
  want.dims = {c.x[0], c.w[0]};
  std::int64_t kernel = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t extent = (c.w[i + 2] - 1) * c.dilations[i] + 1;
    want.dims.push_back((c.x[i + 2] + c.pads[i] + c.pads[i + rank] - extent) / c.strides[i] + 1);
    kernel *= c.w[i + 2];
  }
  const std::int64_t count = ElementCount(want.dims);
  const std::int64_t plane = count / c.x[0] / c.w[0];
  const std::int64_t outputs = c.w[0] / c.group;
  for (std::int64_t at = 0; at < count; ++at) {
    const std::int64_t n = at / plane / c.w[0], k = at / plane % c.w[0];
    double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(k)];
    double magnitude = std::abs(sum);
    for (std::int64_t ch = 0; ch < c.w[1]; ++ch) {
      for (std::int64_t q = 0; q < kernel; ++q) {
        std::int64_t place = at % plane, position = q, source = 0, stride = 1;
        bool inside = true;
        for (std::size_t i = rank; i > 0; --i) {
          const std::int64_t o = place % want.dims[i + 1], r = position % c.w[i + 1];
          place /= want.dims[i + 1];
          position /= c.w[i + 1];
          const std::int64_t in = o * c.strides[i - 1] - c.pads[i - 1] + r * c.dilations[i - 1];
          inside = inside && in >= 0 && in < c.x[i + 1];
          source += in * stride;
          stride *= c.x[i + 1];
        }
        if (!inside) continue;
        const std::int64_t channel = k / outputs * c.w[1] + ch;
        const double product =
            x[static_cast<std::size_t>((n * c.x[1] + channel) * stride + source)] *
            w[static_cast<std::size_t>((k * c.w[1] + ch) * kernel + q)];
        sum += product;
        magnitude += std::abs(product);
      }
    }
    want.sum.push_back(sum);
    want.magnitude.push_back(magnitude);
  }
  return want;
}

// Pairs of x and y that a convolution brings together, swapped: <conv(x, w), y> = <x, convT(y, w)>.
double Dot(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = Doubles(a), y = Doubles(b);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

OpRunner MakeConv(const char* op, const ConvCase& c) {
  OpRunner conv(op);
  conv.Set("strides", c.strides).Set("dilations", c.dilations).Set("pads", c.pads);
  conv.Set("group", c.group);
  return conv;
}

ConvCase RandomCase(std::mt19937& random) {
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  ConvCase c;
  const std::int64_t groups[] = {1, 1, 1, 2, 3, 8};
  c.group = groups[pick(0, 5)];
  const std::int64_t in = pick(1, 9), out = pick(1, 9);
  c.x = {pick(1, 3), c.group * in};
  c.w = {c.group * out, in};
  const std::size_t rank = static_cast<std::size_t>(pick(1, 3));
  std::vector<std::int64_t> ends;
  for (std::size_t i = 0; i < rank; ++i) {
    c.w.push_back(pick(1, 4));
    c.dilations.push_back(pick(1, 2));
    c.strides.push_back(pick(1, 3));
    c.pads.push_back(pick(0, 3));
    ends.push_back(pick(0, 3));
    c.x.push_back((c.w.back() - 1) * c.dilations.back() + pick(1, 9));
  }
  c.pads.insert(c.pads.end(), ends.begin(), ends.end());
  return c;
}

void ExpectNear(const Tensor& got, const Want& want, const std::string& text) {
  ASSERT_EQ(got.dims(), want.dims) << text;
  const std::vector<double> y = Doubles(got);
  for (std::size_t i = 0; i < y.size(); ++i) {
    // Fewer than 512 products in float32, in any order.
    ASSERT_NEAR(y[i], want.sum[i], 512 * FLT_EPSILON * (want.magnitude[i] + 1e-6))
        << text << " at " << i;
  }
}

TEST(Conv, MatchesItsDefinitionInAnyRankGroupAndPadding) {
  std::mt19937 random(7);
  for (int i = 0; i < 150; ++i) {
    const ConvCase c = RandomCase(random);
    const Tensor x = RandomTensor(c.x, 1 + static_cast<std::uint64_t>(i));
    const Tensor w = RandomTensor(c.w, 1000 + static_cast<std::uint64_t>(i));
    const Tensor bias = i % 2 == 0 ? RandomTensor({c.w[0]}, 3) : Tensor();
    OpRunner conv = MakeConv("Conv", c);
    conv.Threads(1 + i % 3);
    if (i % 2 == 0) conv.Initializer(1, w);
    const Want want = Define(c, x, w, bias);
    ExpectNear(conv.Run1({x, w, bias}), want, c.Text());
    ExpectNear(conv.Run1({x, w, bias}), want, c.Text() + " again");
  }
}

TEST(Conv, SplitsLargeLayersOverThreads) {
  for (const std::int64_t group : {1, 2, 32}) {
    const ConvCase c{{1, 32, 40, 40}, {64, 32 / group, 3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, group};
    const Tensor x = RandomTensor(c.x, 1), w = RandomTensor(c.w, 2);
    const Want want = Define(c, x, w, {});
    for (const int threads : {1, 2, 3}) {
      OpRunner conv = MakeConv("Conv", c);
      ExpectNear(conv.Threads(threads).Initializer(1, w).Run1({x, w}), want, c.Text());
    }
  }
}

TEST(Conv, AddsTheResidualAndActivates) {
  const ConvCase c{{2, 5, 9, 9}, {16, 5, 3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1};
  const Tensor x = RandomTensor(c.x, 1), w = RandomTensor(c.w, 2), b = RandomTensor({16}, 3);
  const Tensor residual = RandomTensor({2, 16, 9, 9}, 4);
  const Want want = Define(c, x, w, b);
  OpRunner conv = MakeConv("Conv", c);
  conv.Set(kActivationAttribute, std::int64_t{static_cast<int>(ActivationKind::kClip)});
  conv.Set(kAlphaAttribute, -0.5f).Set(kBetaAttribute, 1.5f);
  const std::vector<double> y = Doubles(conv.Run1({x, w, b, residual}));
  const std::vector<double> r = Doubles(residual);
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(y[i], std::clamp(want.sum[i] + r[i], -0.5, 1.5), 1e-4) << i;
  }
}

TEST(Conv, TakesHalfAndDoubleAndEmptyBatches) {
  const ConvCase c{{1, 2, 4, 4}, {3, 2, 3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1};
  const Tensor x = RandomTensor(c.x, 1), w = RandomTensor(c.w, 2);
  const Want want = Define(c, x, w, {});
  const auto as_double = [](const Tensor& t) {
    return MakeTensor<double>(t.dims(), t.AsDoubles());
  };
  const std::vector<double> y = Doubles(MakeConv("Conv", c).Run1({as_double(x), as_double(w)}));
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], want.sum[i], 1e-12);
  const auto as_half = [](const Tensor& t) {
    return MakeTensor<std::uint16_t>(t.dims(), std::vector<std::uint16_t>(t.elements(), 0x3800),
                                     DType::kFloat16);  // 0.5
  };
  const Tensor half = MakeConv("Conv", c).Run1({as_half(x), as_half(w)});
  EXPECT_EQ(half.dtype(), DType::kFloat16);
  EXPECT_EQ(Doubles(half)[0], 18 * 0.25);
  EXPECT_EQ(MakeConv("Conv", c).Run1({RandomTensor({0, 2, 4, 4}, 1), w}).dims(),
            (Dims{0, 3, 2, 2}));
}

TEST(Conv, PadsSoThatTheOutputKeepsItsSize) {
  for (const char* mode : {"SAME_UPPER", "SAME_LOWER"}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      OpRunner conv("Conv");
      conv.Set("auto_pad", std::string(mode))
          .Set("strides", std::vector<std::int64_t>{stride, stride});
      const Tensor y = conv.Run1({RandomTensor({1, 1, 7, 8}, 1), RandomTensor({1, 1, 4, 3}, 2)});
      EXPECT_EQ(y.dims(), (Dims{1, 1, (7 + stride - 1) / stride, (8 + stride - 1) / stride}));
    }
  }
}

TEST(Conv, RefusesWhatDoesNotFit) {
  const Tensor x = RandomTensor({1, 4, 5, 5}, 1);
  EXPECT_TRUE(OpRunner("Conv").Fails({x, RandomTensor({2, 3, 3, 3}, 1)}));
  EXPECT_TRUE(OpRunner("Conv").Fails({x, RandomTensor({2, 4, 6, 6}, 1)}));
  EXPECT_TRUE(OpRunner("Conv").Fails({x, RandomTensor({2, 4, 3}, 1)}));
  EXPECT_TRUE(OpRunner("Conv").Fails({x, RandomTensor({2, 4, 0, 3}, 1)}));
  EXPECT_TRUE(OpRunner("Conv").Fails({x, RandomTensor({2, 4, 3, 3}, 1), RandomTensor({3}, 1)}));
  EXPECT_TRUE(OpRunner("Conv").Fails({RandomTensor({4}, 1), RandomTensor({4}, 1)}));
  EXPECT_TRUE(OpRunner("Conv").Set("group", std::int64_t{0}).Fails({x, x}));
  EXPECT_TRUE(OpRunner("Conv").Set("strides", std::vector<std::int64_t>{0, 1}).Fails({x, x}));
  EXPECT_TRUE(OpRunner("Conv").Set("auto_pad", std::string("SOME")).IsRefused(2));
  EXPECT_TRUE(OpRunner("Conv").Set("pads", std::vector<std::int64_t>{-1, 0, 0, 0}).IsRefused(2));
}

// A transposed convolution is the transpose of the matrix that the convolution is.
TEST(ConvTranspose, IsTheAdjointOfConv) {
  std::mt19937 random(11);
  for (int i = 0; i < 120; ++i) {
    ConvCase c = RandomCase(random);
    const Tensor x = RandomTensor(c.x, 5 + static_cast<std::uint64_t>(i));
    const Tensor w = RandomTensor(c.w, 6);
    const Tensor conv = MakeConv("Conv", c).Run1({x, w});
    const Tensor y = RandomTensor(conv.dims(), 7);
    OpRunner transpose = MakeConv("ConvTranspose", c);
    // What the strides leave over at the end.
    std::vector<std::int64_t> padding;
    const std::size_t rank = c.x.size() - 2;
    for (std::size_t k = 0; k < rank; ++k) {
      const std::int64_t room =
          c.x[k + 2] + c.pads[k] + c.pads[k + rank] - (c.w[k + 2] - 1) * c.dilations[k] - 1;
      padding.push_back(room % c.strides[k]);
    }
    transpose.Set("output_padding", padding).Threads(1 + i % 2);
    const Tensor back = transpose.Run1({y, w});
    ASSERT_EQ(back.dims(), c.x) << c.Text();
    const double scale = static_cast<double>(x.elements() + y.elements());
    ASSERT_NEAR(Dot(conv, y), Dot(x, back), 1e-5 * scale) << c.Text();
  }
}

TEST(ConvTranspose, RefusesWhatDoesNotFit) {
  const Tensor x = RandomTensor({1, 4, 5, 5}, 1);
  EXPECT_TRUE(OpRunner("ConvTranspose").Fails({x, RandomTensor({3, 4, 3, 3}, 1)}));
  EXPECT_TRUE(OpRunner("ConvTranspose").Fails({x, RandomTensor({4, 2, 3}, 1)}));
  OpRunner large("ConvTranspose");
  large.Set("pads", std::vector<std::int64_t>{9, 9, 9, 9});
  EXPECT_TRUE(large.Fails({x, RandomTensor({4, 2, 3, 3}, 1)}));
}

}  // namespace
}  // namespace espalier::runtime
