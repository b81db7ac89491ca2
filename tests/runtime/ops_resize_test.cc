#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

Tensor Scales(const std::vector<float>& scales) {
  return MakeTensor<float>({static_cast<std::int64_t>(scales.size())}, scales);
}

OpRunner MakeResize(const char* mode, const char* transform) {
  OpRunner op("Resize", 19);
  op.Set("mode", std::string(mode)).Set("coordinate_transformation_mode", std::string(transform));
  return op;
}

TEST(Resize, RepeatsPixelsForWholeFactors) {
  for (const std::int64_t factor : {1, 2, 3}) {
    for (const DType dtype : {DType::kFloat32, DType::kUint8, DType::kInt64}) {
      const Dims dims{2, 3, 5, 7};
      const std::size_t bytes = DTypeBits(dtype) / 8;
      std::vector<std::byte> data(210 * bytes);
      for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 % 251);
      const Tensor x(dtype, dims, data);
      OpRunner op = MakeResize("nearest", "asymmetric");
      op.Set("nearest_mode", std::string("floor"));
      const auto f = static_cast<float>(factor);
      const Tensor y = op.Threads(2).Run1({x, Tensor(), Scales({1, 1, f, f})});
      ASSERT_EQ(y.dims(), (Dims{2, 3, 5 * factor, 7 * factor}));
      for (std::int64_t i = 0; i < y.elements(); ++i) {
        const std::int64_t w = i % (7 * factor), h = i / (7 * factor) % (5 * factor);
        const std::int64_t p = i / (35 * factor * factor);
        const auto from = static_cast<std::size_t>((p * 5 + h / factor) * 7 + w / factor) * bytes;
        const auto to = static_cast<std::size_t>(i) * bytes;
        ASSERT_TRUE(std::equal(&y.bytes()[to], &y.bytes()[to] + bytes, &x.bytes()[from])) << i;
      }
    }
  }
}

// A plane that rises evenly stays one where nothing is beyond the border.
TEST(Resize, KeepsSlopesInLinearAndCubicModes) {
  std::vector<float> ramp;
  for (int h = 0; h < 9; ++h) {
    for (int w = 0; w < 11; ++w) ramp.push_back(static_cast<float>(2 * h + 3 * w));
  }
  const Tensor x = MakeTensor<float>({1, 1, 9, 11}, ramp);
  for (const char* mode : {"linear", "cubic"}) {
    for (const float scale : {1.5f, 2.0f, 2.7f, 0.8f}) {
      OpRunner op = MakeResize(mode, "half_pixel");
      op.Set("cubic_coeff_a", -0.5f);  // the only cubic that keeps slopes
      const Tensor y = op.Run1({x, Tensor(), Scales({1, 1, scale, scale})});
      const std::vector<double> got = y.AsDoubles();
      int checked = 0;
      for (std::int64_t i = 0; i < y.elements(); ++i) {
        const auto source = [&](std::int64_t at) {
          return (static_cast<double>(at) + 0.5) / scale - 0.5;
        };
        const double h = source(i / y.dims()[3]), w = source(i % y.dims()[3]);
        if (h < 1 || h >= 7 || w < 1 || w >= 9) continue;
        ++checked;
        ASSERT_NEAR(got[static_cast<std::size_t>(i)], 2 * h + 3 * w, 1e-4) << mode << scale;
      }
      EXPECT_GT(checked, 20);
    }
  }
}

TEST(Resize, AntialiasAveragesWhenItShrinks) {
  const Tensor x = MakeTensor<float>({1, 1, 1, 8}, {0, 8, 0, 8, 0, 8, 0, 8});
  OpRunner op = MakeResize("linear", "half_pixel");
  const Tensor y =
      op.Set("antialias", std::int64_t{1}).Run1({x, Tensor(), Scales({1, 1, 1, 0.25f})});
  ASSERT_EQ(y.dims(), (Dims{1, 1, 1, 2}));
  for (const double v : y.AsDoubles()) EXPECT_NEAR(v, 4, 1);
}

TEST(Resize, KeepsTheAspectRatio) {
  const Tensor x = RandomTensor({1, 1, 10, 20}, 1);
  const auto run = [&](const char* policy) {
    OpRunner op = MakeResize("nearest", "half_pixel");
    op.Set("keep_aspect_ratio_policy", std::string(policy));
    op.Set("axes", std::vector<std::int64_t>{2, 3});
    return op.Run1({x, Tensor(), Tensor(), MakeInts({30, 40})}).dims();
  };
  EXPECT_EQ(run("stretch"), (Dims{1, 1, 30, 40}));
  EXPECT_EQ(run("not_larger"), (Dims{1, 1, 20, 40}));
  EXPECT_EQ(run("not_smaller"), (Dims{1, 1, 30, 60}));
}

TEST(Resize, CropsAndExtrapolates) {
  const Tensor x = MakeTensor<float>({3}, {1, 2, 3});
  OpRunner op = MakeResize("linear", "tf_crop_and_resize");
  op.Set("extrapolation_value", 9.0f);
  const Tensor y = op.Run1({x, Scales({0, 2}), Tensor(), MakeInts({5})});
  EXPECT_EQ(ElementsOf<float>(y), (std::vector<float>{1, 2, 3, 9, 9}));
}

TEST(Resize, RefusesWhatMakesNoSense) {
  const Tensor x = RandomTensor({1, 1, 4, 4}, 1);
  const auto fails = [&](const std::vector<float>& scales) {
    return OpRunner("Resize").Fails({x, Tensor(), Scales(scales)});
  };
  EXPECT_TRUE(fails({1, 1, 0, 1}));
  EXPECT_TRUE(fails({1, 1, -1, 1}));
  EXPECT_TRUE(fails({1, 1, NAN, 1}));
  EXPECT_TRUE(fails({1, 1, INFINITY, 1}));
  EXPECT_TRUE(fails({1, 1, 1e30f, 1}));
  EXPECT_TRUE(fails({1, 1, 1}));
  EXPECT_TRUE(OpRunner("Resize").Fails({x, Tensor(), Tensor(), MakeInts({1, 1, -4, 4})}));
  EXPECT_TRUE(OpRunner("Resize").Fails(
      {RandomTensor({1, 1, 0, 4}, 1), Tensor(), Tensor(), MakeInts({1, 1, 4, 4})}));
  EXPECT_TRUE(OpRunner("Resize").Set("mode", std::string("area")).IsRefused(3));
  EXPECT_TRUE(OpRunner("Upsample", 1).IsRefused(1));
}

TEST(GridSample, OfTheIdentityGridIsTheImage) {
  const Tensor x = RandomTensor({2, 3, 5, 7}, 1);
  const Tensor theta = MakeTensor<float>({2, 2, 3}, {1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0});
  for (const std::int64_t align : {0, 1}) {
    OpRunner grid("AffineGrid", 20);
    const Tensor positions = grid.Set("align_corners", align).Run1({theta, MakeInts({2, 3, 5, 7})});
    for (const char* mode : {"linear", "nearest", "cubic"}) {
      for (const char* padding : {"zeros", "border", "reflection"}) {
        OpRunner sample("GridSample", 20);
        sample.Set("mode", std::string(mode)).Set("align_corners", align);
        const Tensor y = sample.Set("padding_mode", std::string(padding)).Run1({x, positions});
        ASSERT_EQ(y.dims(), x.dims());
        const std::vector<double> got = y.AsDoubles(), want = x.AsDoubles();
        for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << mode;
      }
    }
  }
}

TEST(GridSample, TakesAnyNumberAsAPosition) {
  const Tensor x = RandomTensor({1, 1, 4, 4}, 1);
  const float inf = INFINITY;
  const Tensor grid = MakeTensor<float>({1, 1, 4, 2}, {NAN, 0, inf, -inf, 1e30f, -1e30f, 3, -7});
  for (const char* mode : {"linear", "nearest", "cubic"}) {
    for (const char* padding : {"zeros", "border", "reflection"}) {
      OpRunner op("GridSample", 20);
      op.Set("mode", std::string(mode)).Set("padding_mode", std::string(padding));
      EXPECT_NO_THROW(op.Run1({x, grid}));
    }
  }
}

}  // namespace
}  // namespace espalier::runtime
