#include "espalier/data/preprocess.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tests/data/make_images.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

Sample ImageSample(Image image) { return {"a.png", 0, std::move(image), {}}; }

std::vector<float> Applied(const Preprocess& preprocess, const Sample& sample, const Dims& shape) {
  std::vector<float> out(static_cast<std::size_t>(ElementCount(shape)), -99.0f);
  PreprocessSample(preprocess, sample, shape, out);
  return out;
}

Preprocess With(std::string_view preset, std::string_view field, std::string_view text) {
  Preprocess preprocess = FindPreprocess(preset);
  OverridePreprocess(preprocess, field, text);
  return preprocess;
}

// Two pixels: (10, 20, 30) and (255, 0, 1).
Sample TwoPixels() { return ImageSample({2, 1, 3, {10, 20, 30, 255, 0, 1}}); }

void ExpectFloats(const std::vector<float>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_FLOAT_EQ(got[i], static_cast<float>(want[i])) << "at " << i;
  }
}

TEST(Preprocess, ScalesAndOrdersChannels) {
  const Sample sample = TwoPixels();
  ExpectFloats(Applied(FindPreprocess("raw"), sample, {3, 1, 2}), {10, 255, 20, 0, 30, 1});
  ExpectFloats(Applied(With("raw", "layout", "nhwc"), sample, {1, 2, 3}), {10, 20, 30, 255, 0, 1});
  ExpectFloats(Applied(With("raw", "channels", "bgr"), sample, {3, 1, 2}), {30, 1, 20, 0, 10, 255});
  ExpectFloats(Applied(FindPreprocess("unit"), sample, {3, 1, 2}),
               {10 / 255.0, 1, 20 / 255.0, 0, 30 / 255.0, 1 / 255.0});
  ExpectFloats(Applied(FindPreprocess("imagenet-caffe"), sample, {3, 1, 2}),
               {30 - 104, 1 - 104, 20 - 117, 0 - 117, 10 - 123, 255 - 123});
  ExpectFloats(Applied(With("imagenet-tf", "resize", "none"), sample, {3, 1, 2}),
               {10 / 127.5 - 1, 1, 20 / 127.5 - 1, -1, 30 / 127.5 - 1, 1 / 127.5 - 1});
  ExpectFloats(Applied(FindPreprocess("cifar10"), sample, {3, 1, 2}),
               {(10 / 255.0 - .485) / .229, (1 - .485) / .229, (20 / 255.0 - .456) / .224,
                -.456 / .224, (30 / 255.0 - .406) / .225, (1 / 255.0 - .406) / .225});
}

TEST(Preprocess, MakesGrayOfColourAndColourOfGray) {
  // 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15; 0.299 * 255 + 0.114 = 76.36.
  ExpectFloats(Applied(FindPreprocess("mnist"), TwoPixels(), {1, 1, 2}),
               {(18 / 255.0 - .1307) / .3081, (76 / 255.0 - .1307) / .3081});
  ExpectFloats(Applied(FindPreprocess("raw"), ImageSample({1, 1, 1, {77}}), {3, 1, 1}),
               {77, 77, 77});
}

TEST(Preprocess, CropsAsTorchvisionDoes) {
  const Image image = Noise(300, 200, 3, 4);
  // Shorter side 256: 384 x 256. The crop begins at (384 - 224) / 2 = 80 and (256 - 224) / 2 = 16.
  const Image scaled = ResizeImage(image, 384, 256, ResizeFilter::kAntialias);
  const std::vector<float> got =
      Applied(With("imagenet", "mean", "0"), ImageSample(image), {3, 224, 224});
  for (const auto& [x, y] : {std::pair{0, 0}, {223, 0}, {5, 100}, {223, 223}}) {
    const auto pixel = static_cast<std::size_t>(((y + 16) * 384 + x + 80) * 3);
    EXPECT_FLOAT_EQ(got[static_cast<std::size_t>(224 * 224 + y * 224 + x)],
                    static_cast<float>(scaled.pixels[pixel + 1] / 255.0 / .224));
  }
}

TEST(Preprocess, CropsOtherSizesInProportion) {
  // 8/7 of 28 is 32: an image of 64x32 is not scaled, and rows 2 to 29 are taken.
  const Image image = Gradient(64, 32, 3);
  const std::vector<float> got =
      Applied(With("raw", "resize", "crop"), ImageSample(image), {3, 28, 28});
  EXPECT_EQ(got[0], image.pixels[(2 * 64 + 18) * 3]);
  const std::vector<float> whole =
      Applied(With("raw", "resize", "crop:32,32x32"), ImageSample(image), {3, 32, 32});
  EXPECT_EQ(whole[0], image.pixels[16 * 3]);
}

TEST(Preprocess, ResizesTheWholeImage) {
  const Image image = Noise(30, 20, 3, 4);
  const Image want = ResizeImage(image, 8, 9, ResizeFilter::kBilinear);
  const std::vector<float> got =
      Applied(With("raw", "layout", "nhwc"), ImageSample(image), {9, 8, 3});
  EXPECT_TRUE(std::ranges::equal(got, want.pixels, {}, {}, [](int v) { return float(v); }));
}

TEST(Preprocess, RefusesAnotherSizeWithoutResize) {
  ExpectError(ErrorCode::kShapeMismatch, {"2x1", "32x32", "resize", "a.png"}, [] {
    Applied(FindPreprocess("cifar10"), TwoPixels(), {3, 32, 32});
  });
}

TEST(Preprocess, RefusesMeansOfAnotherNumber) {
  ExpectError(ErrorCode::kShapeMismatch, {"3 values of mean", "1 channels"}, [] {
    Applied(With("cifar10", "channels", "gray"), TwoPixels(), {1, 1, 2});
  });
  ExpectError(ErrorCode::kShapeMismatch, {"3 values of std", "1 channels"}, [] {
    Applied(With("mnist", "std", "1,2,3"), TwoPixels(), {1, 1, 2});
  });
}

TEST(Preprocess, RefusesAShapeOfAnotherSizeThanTheOutput) {
  std::vector<float> out(5);
  ExpectError(ErrorCode::kShapeMismatch, {"3x1x2", "5 elements"}, [&] {
    PreprocessSample(FindPreprocess("raw"), TwoPixels(), {3, 1, 2}, out);
  });
}

TEST(Preprocess, CopiesTensors) {
  Sample sample{"t", 0, {}, {DType::kFloat32, {2, 1}, false, std::vector<std::byte>(8)}};
  const float values[] = {1.5f, -2};
  std::memcpy(sample.tensor.bytes.data(), values, sizeof values);
  ExpectFloats(Applied(FindPreprocess("imagenet"), sample, {2, 1}), {1.5, -2});
  ExpectError(ErrorCode::kShapeMismatch, {"2x1", "1x2"}, [&] {
    Applied(FindPreprocess("raw"), sample, {1, 2});
  });
  sample.tensor = {DType::kInt64, {1}, false, std::vector<std::byte>(8, std::byte{0xFF})};
  ExpectFloats(Applied(FindPreprocess("imagenet"), sample, {1}), {-1});
  sample.tensor.dtype = DType::kComplex64;
  ExpectError(ErrorCode::kUnsupported, {"complex64"},
              [&] { Applied(FindPreprocess("raw"), sample, {1}); });
}

TEST(SampleShape, ComesFromTheModelThenTheResizeThenTheImage) {
  const Sample sample = ImageSample(Gradient(30, 20, 3));
  const Preprocess& raw = FindPreprocess("raw");
  EXPECT_EQ(SampleShape(raw, {1, 3, 227, 226}, sample), (Dims{3, 227, 226}));
  EXPECT_EQ(SampleShape(raw, {-1, -1, -1, 226}, sample), (Dims{3, 20, 226}));
  EXPECT_EQ(SampleShape(FindPreprocess("imagenet"), {-1, 3, -1, -1}, sample), (Dims{3, 224, 224}));
  EXPECT_EQ(SampleShape(With("imagenet", "resize", "64x48"), {-1, 3, -1, -1}, sample),
            (Dims{3, 48, 64}));
  EXPECT_EQ(SampleShape(With("imagenet", "layout", "nhwc"), {-1, 96, -1, 3}, sample),
            (Dims{96, 224, 3}));
  EXPECT_EQ(SampleShape(FindPreprocess("mnist"), {-1, 1, -1, -1}, sample), (Dims{1, 20, 30}));
}

TEST(SampleShape, RefusesModelsThatTakeSomethingElse) {
  const Sample sample = ImageSample(Gradient(30, 20, 3));
  const Preprocess& raw = FindPreprocess("raw");
  ExpectError(ErrorCode::kShapeMismatch, {"1x576", "4 dimensions"}, [&] {
    SampleShape(raw, {1, 576}, sample);
  });
  ExpectError(ErrorCode::kShapeMismatch, {"1x224x224x3", "layout nhwc"}, [&] {
    SampleShape(raw, {1, 224, 224, 3}, sample);
  });
  ExpectError(ErrorCode::kShapeMismatch, {"1 channels", "gives 3", "gray"}, [&] {
    SampleShape(raw, {1, 1, 28, 28}, sample);
  });
  ExpectError(ErrorCode::kShapeMismatch, {"width 227", "resize gives 64"}, [&] {
    SampleShape(With("raw", "resize", "64x227"), {1, 3, 227, 227}, sample);
  });
  ExpectError(ErrorCode::kShapeMismatch, {"height 0"}, [&] {
    SampleShape(raw, {1, 3, 0, 227}, sample);
  });
}

TEST(SampleShape, OfATensorIsItsOwn) {
  const Sample sample{"t", 0, {}, {DType::kFloat32, {5, 2}, false, std::vector<std::byte>(40)}};
  const Preprocess& raw = FindPreprocess("raw");
  EXPECT_EQ(SampleShape(raw, {-1, -1, 2}, sample), (Dims{5, 2}));
  for (const Dims& input : {Dims{-1, 5}, Dims{1, 5, 3}, Dims{5, 2}}) {
    ExpectError(ErrorCode::kShapeMismatch, {"'t'", "5x2", DimsText(input)},
                [&] { SampleShape(raw, input, sample); });
  }
}

}  // namespace
}  // namespace espalier
