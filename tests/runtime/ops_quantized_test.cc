#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

Tensor Floats(const std::vector<float>& v) {
  return MakeTensor<float>({static_cast<std::int64_t>(v.size())}, v);
}
Tensor Scalar(float v) { return MakeTensor<float>({}, {v}); }
template <typename T>
Tensor Zero(T v) {
  return MakeTensor<T>({}, {v});
}

template <typename T>
void ExpectRoundTrip(T zero) {
  const Tensor x = RandomTensor({4, 50}, 1, -3, 3);
  const Tensor q = OpRunner("QuantizeLinear", 21).Run1({x, Scalar(0.05f), Zero<T>(zero)});
  EXPECT_EQ(q.dtype(), TestDType<T>::value);
  const Tensor back = OpRunner("DequantizeLinear", 21).Run1({q, Scalar(0.05f), Zero<T>(zero)});
  const std::vector<double> a = x.AsDoubles(), b = back.AsDoubles();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 0.02501);
}

TEST(Quantize, ComesBackWithinHalfAStep) {
  ExpectRoundTrip<std::int8_t>(3);
  ExpectRoundTrip<std::uint8_t>(128);
  ExpectRoundTrip<std::int16_t>(-5);
  ExpectRoundTrip<std::uint16_t>(1000);
}

TEST(Quantize, HoldsAndRoundsToEven) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor x = Floats({0.5f, 1.5f, 2.5f, 300, -300, inf, -inf, NAN});
  EXPECT_EQ(ElementsOf<std::uint8_t>(
                OpRunner("QuantizeLinear").Run1({x, Scalar(1), Zero<std::uint8_t>(0)})),
            (std::vector<std::uint8_t>{0, 2, 2, 255, 0, 255, 0, 0}));
  EXPECT_EQ(ElementsOf<std::int8_t>(
                OpRunner("QuantizeLinear").Run1({x, Scalar(1), Zero<std::int8_t>(1)})),
            (std::vector<std::int8_t>{1, 3, 3, 127, -128, 127, -128, -128}));
}

TEST(Quantize, TakesAScaleForEachChannelOrBlock) {
  const Tensor x = MakeTensor<std::int8_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor rows = OpRunner("DequantizeLinear", 21)
                          .Set("axis", std::int64_t{0})
                          .Run1({x, Floats({1, 10}), MakeTensor<std::int8_t>({2}, {0, 1})});
  EXPECT_EQ(ElementsOf<float>(rows), (std::vector<float>{1, 2, 3, 30, 40, 50}));
  OpRunner blocks("DequantizeLinear", 21);
  blocks.Set("axis", std::int64_t{1}).Set("block_size", std::int64_t{2});
  EXPECT_EQ(ElementsOf<float>(blocks.Run1({x, MakeTensor<float>({2, 2}, {1, 10, 100, 1000})})),
            (std::vector<float>{1, 2, 30, 400, 500, 6000}));
  EXPECT_TRUE(OpRunner("DequantizeLinear").Fails({x, Floats({1, 2})}));
  EXPECT_TRUE(OpRunner("DequantizeLinear").Fails({x, Floats({1, 2, 3}), Zero<std::int8_t>(0)}));
}

TEST(Quantize, FindsScaleAndZeroPointItself) {
  OpRunner op("DynamicQuantizeLinear");
  const std::vector<Tensor> y = op.Outputs(3).Run({Floats({-1, 0, 1.55f})});
  EXPECT_FLOAT_EQ(ElementsOf<float>(y[1])[0], 0.01f);
  EXPECT_EQ(ElementsOf<std::uint8_t>(y[2])[0], 100);
  EXPECT_EQ(ElementsOf<std::uint8_t>(y[0]), (std::vector<std::uint8_t>{0, 100, 255}));
}

TEST(IntegerProducts, SubtractTheirZeroPoints) {
  const Tensor a = MakeTensor<std::uint8_t>({2, 2}, {1, 2, 3, 4});
  const Tensor b = MakeTensor<std::int8_t>({2, 2}, {5, 6, 7, 8});
  const Tensor y = OpRunner("MatMulInteger")
                       .Run1({a, b, MakeTensor<std::uint8_t>({2}, {1, 2}),
                              MakeTensor<std::int8_t>({2}, {5, 6})});
  // (0 1; 1 2) times (0 0; 2 2).
  EXPECT_EQ(ElementsOf<std::int32_t>(y), (std::vector<std::int32_t>{2, 2, 4, 4}));
  EXPECT_TRUE(OpRunner("MatMulInteger").Fails({a, b, Zero<std::int8_t>(0)}));
  EXPECT_TRUE(OpRunner("MatMulInteger").Fails({a, RandomTensor({2, 2}, 1)}));
}

TEST(IntegerProducts, ConvolutionMatchesTheFloatOne) {
  std::vector<std::uint8_t> x(2 * 4 * 7 * 6);
  std::vector<std::int8_t> w(6 * 2 * 3 * 3);
  std::vector<float> fx, fw;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<std::uint8_t>(i * 37 % 256);
    fx.push_back(static_cast<float>(x[i]) - 128);
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    w[i] = static_cast<std::int8_t>(static_cast<int>(i * 53 % 256) - 128);
    fw.push_back(w[i]);
  }
  OpRunner integer("ConvInteger"), real("Conv");
  for (OpRunner* op : {&integer, &real}) {
    op->Set("group", std::int64_t{2}).Set("pads", std::vector<std::int64_t>{1, 1, 1, 1}).Threads(2);
  }
  const Tensor y =
      integer.Run1({MakeTensor<std::uint8_t>({2, 4, 7, 6}, x),
                    MakeTensor<std::int8_t>({6, 2, 3, 3}, w), Zero<std::uint8_t>(128)});
  const Tensor want =
      real.Run1({MakeTensor<float>({2, 4, 7, 6}, fx), MakeTensor<float>({6, 2, 3, 3}, fw)});
  EXPECT_EQ(y.dims(), want.dims());
  EXPECT_EQ(y.AsDoubles(), want.AsDoubles());  // below 2^24: exact in float32
}

TEST(IntegerProducts, RequantizeWithAScaleForEachChannel) {
  const Tensor x = MakeTensor<std::uint8_t>({1, 1, 1, 2}, {10, 20});
  const Tensor w = MakeTensor<std::int8_t>({2, 1, 1, 1}, {2, -3});
  const Tensor y = OpRunner("QLinearConv")
                       .Run1({x, Scalar(0.5f), Zero<std::uint8_t>(0), w, Floats({1, 0.1f}),
                              MakeTensor<std::int8_t>({2}, {0, 0}), Scalar(0.25f),
                              Zero<std::int8_t>(1), MakeTensor<std::int32_t>({2}, {1, 0})});
  // (20 + 1) * 0.5 / 0.25 + 1, ...; -30 * 0.05 / 0.25 + 1, ...
  EXPECT_EQ(ElementsOf<std::int8_t>(y), (std::vector<std::int8_t>{43, 83, -5, -11}));
}

}  // namespace
}  // namespace espalier::runtime
