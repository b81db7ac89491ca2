#include <algorithm>
#include <cmath>
#include <string>

#include "espalier/data/image.h"
#include "tests/data/make_images.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

double PixelAt(const Image& image, int x, int y, int c) {
  x = std::clamp(x, 0, image.width - 1);
  y = std::clamp(y, 0, image.height - 1);
  return image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + c)];
}

// A triangle of this radius around each half-pixel centre, one weight a pair of input pixels; in
// one step and without rounding in between.
double Weighed(const Image& image, double centre_x, double centre_y, double radius_x,
               double radius_y, int c) {
  double sum = 0, weights = 0;
  for (int y = 0; y < image.height; ++y) {
    const double weight_y = 1 - std::abs((y + 0.5 - centre_y) / radius_y);
    if (weight_y <= 0) continue;
    for (int x = 0; x < image.width; ++x) {
      const double weight_x = 1 - std::abs((x + 0.5 - centre_x) / radius_x);
      if (weight_x <= 0) continue;
      sum += weight_x * weight_y * PixelAt(image, x, y, c);
      weights += weight_x * weight_y;
    }
  }
  return sum / weights;
}

double Bilinear(const Image& image, double centre_x, double centre_y, int c) {
  const double x = centre_x - 0.5, y = centre_y - 0.5;
  const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
  const double fx = x - left, fy = y - top;
  return (1 - fy) *
             ((1 - fx) * PixelAt(image, left, top, c) + fx * PixelAt(image, left + 1, top, c)) +
         fy * ((1 - fx) * PixelAt(image, left, top + 1, c) +
               fx * PixelAt(image, left + 1, top + 1, c));
}

struct Size {
  int width, height;
};

TEST(Resize, MatchesReferences) {
  for (const int channels : {1, 3}) {
    for (const Size in : {Size{1, 1}, {2, 3}, {17, 9}, {40, 31}}) {
      const Image image = Noise(in.width, in.height, channels, 11);
      for (const Size out : {Size{1, 1}, {5, 4}, {18, 9}, {41, 33}}) {
        SCOPED_TRACE(testing::Message()
                     << in.width << "x" << in.height << " to " << out.width << "x" << out.height);
        const Image plain = ResizeImage(image, out.width, out.height, ResizeFilter::kBilinear);
        const Image anti = ResizeImage(image, out.width, out.height, ResizeFilter::kAntialias);
        const double scale_x = static_cast<double>(in.width) / out.width;
        const double scale_y = static_cast<double>(in.height) / out.height;
        for (int y = 0; y < out.height; ++y) {
          for (int x = 0; x < out.width; ++x) {
            for (int c = 0; c < channels; ++c) {
              const double at_x = (x + 0.5) * scale_x, at_y = (y + 0.5) * scale_y;
              // One rounding to 8 bits, and floats before it.
              ASSERT_NEAR(PixelAt(plain, x, y, c), Bilinear(image, at_x, at_y, c), 0.501);
              // Two roundings, one after each pass.
              ASSERT_NEAR(
                  PixelAt(anti, x, y, c),
                  Weighed(image, at_x, at_y, std::max(scale_x, 1.0), std::max(scale_y, 1.0), c),
                  1.001);
            }
          }
        }
      }
    }
  }
}

TEST(Resize, KeepsAnImageOfTheRightSize) {
  const Image image = Noise(6, 5, 3, 3);
  for (const ResizeFilter filter : {ResizeFilter::kBilinear, ResizeFilter::kAntialias}) {
    EXPECT_EQ(ResizeImage(image, 6, 5, filter).pixels, image.pixels);
  }
}

TEST(Resize, KeepsWhiteWhite) {
  const Image white{37, 29, 1, std::vector<std::uint8_t>(37 * 29, 255)};
  for (const ResizeFilter filter : {ResizeFilter::kBilinear, ResizeFilter::kAntialias}) {
    for (const Size out : {Size{5, 7}, {99, 98}}) {
      const Image image = ResizeImage(white, out.width, out.height, filter);
      EXPECT_EQ(std::ranges::count(image.pixels, 255),
                static_cast<std::ptrdiff_t>(image.pixels.size()));
    }
  }
}

TEST(Resize, RefusesSizesOutOfRange) {
  const Image image = Noise(6, 5, 3, 3);
  for (const Size size : {Size{0, 5}, {5, -1}, {1 << 20, 1 << 20}}) {
    ExpectError(ErrorCode::kInvalidArgument, {"resize to", "x", "268435456"},
                [&] { ResizeImage(image, size.width, size.height, ResizeFilter::kAntialias); });
  }
}

TEST(CenterCrop, TakesTheMiddle) {
  // A column's number is its pixel; offsets of odd rests go to the even number, as in torchvision.
  for (const auto& [width, first] : {std::pair{4, 0}, {5, 0}, {6, 1}, {7, 2}, {8, 2}, {9, 2}}) {
    Image image{width, 1, 1, {}};
    for (int x = 0; x < width; ++x) image.pixels.push_back(static_cast<std::uint8_t>(x));
    EXPECT_EQ(CenterCrop(image, 4, 1).pixels[0], first) << width;
  }
  const Image image = Gradient(9, 7, 3);
  const Image crop = CenterCrop(image, 3, 5);
  EXPECT_EQ(PixelAt(crop, 1, 2, 2), PixelAt(image, 4, 3, 2));
}

TEST(CenterCrop, RefusesMoreThanThereIs) {
  ExpectError(ErrorCode::kInvalidArgument, {"9x7", "10x7"},
              [] { CenterCrop(Gradient(9, 7, 3), 10, 7); });
}

}  // namespace
}  // namespace espalier
