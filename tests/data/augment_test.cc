#include "espalier/data/augment.h"

#include <map>
#include <set>
#include <string>

#include "tests/data/make_images.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

std::uint8_t PixelAt(const Image& image, int x, int y, int channel = 0) {
  const int at = (y * image.width + x) * image.channels + channel;
  return image.pixels.at(static_cast<std::size_t>(at));
}

// No pixel is black or like another, so that each tells where it came from.
Image Numbered(int width, int height) {
  Image image{width, height, 1, {}};
  for (int i = 0; i < width * height; ++i) {
    image.pixels.push_back(static_cast<std::uint8_t>(i + 1));
  }
  return image;
}

Image Augmented(const std::string& text, const Image& image, std::uint64_t index,
                const AugmentTarget& target = {}) {
  return AugmentImage(ParseAugmentation(text), image, {3, 0, index}, target);
}

TEST(Augment, MirrorsEverySecondImage) {
  for (const int width : {1, 4, 5}) {
    const Image image = Noise(width, 3, 3, 5);
    int mirrored = 0;
    for (std::uint64_t index = 0; index < 1000; ++index) {
      const Image out = Augmented("flip", image, index);
      if (out.pixels == image.pixels) continue;
      ++mirrored;
      for (int y = 0; y < 3; ++y) {
        for (int x = 0; x < width; ++x) {
          for (int c = 0; c < 3; ++c) {
            ASSERT_EQ(PixelAt(out, x, y, c), PixelAt(image, width - 1 - x, y, c));
          }
        }
      }
    }
    // Binomial, standard deviation 16.
    if (width > 1) {
      EXPECT_NEAR(mirrored, 500, 6 * 16);
    }
  }
}

// Property: the image is moved by -2..2 in both directions, each of the 25 moves about as often,
// and black comes in.
TEST(Augment, CropsFromThePaddedImage) {
  const Image image = Numbered(7, 5);
  std::map<std::pair<int, int>, int> moves;
  for (std::uint64_t index = 0; index < 5000; ++index) {
    const Image out = Augmented("crop:2", image, index);
    ASSERT_EQ(out.width, 7);
    ASSERT_EQ(out.height, 5);
    const int centre = PixelAt(out, 3, 2) - 1;
    const int dx = centre % 7 - 3;
    const int dy = centre / 7 - 2;
    ++moves[{dx, dy}];
    for (int y = 0; y < 5; ++y) {
      for (int x = 0; x < 7; ++x) {
        const bool inside = x + dx >= 0 && x + dx < 7 && y + dy >= 0 && y + dy < 5;
        ASSERT_EQ(PixelAt(out, x, y), inside ? PixelAt(image, x + dx, y + dy) : 0);
      }
    }
  }
  EXPECT_EQ(moves.size(), 25u);
  for (const auto& [move, count] : moves) EXPECT_NEAR(count, 200, 6 * 14);
  EXPECT_EQ(Augmented("crop:1000", image, 1).pixels.size(), image.pixels.size());
}

TEST(Augment, ScalesRandomPartsToTheTarget) {
  const Image image = Gradient(40, 30, 3);
  std::set<std::vector<std::uint8_t>> different;
  for (std::uint64_t index = 0; index < 50; ++index) {
    const Image out = Augmented("resized-crop", image, index, {8, 6, ResizeFilter::kAntialias});
    ASSERT_EQ(out.width, 8);
    ASSERT_EQ(out.height, 6);
    different.insert(out.pixels);
  }
  EXPECT_GT(different.size(), 45u);
  // The whole area has the image's own ratio, which only the fallback reaches.
  const Image whole = Augmented("resized-crop:1", image, 0, {8, 6, ResizeFilter::kAntialias});
  EXPECT_EQ(whole.pixels, ResizeImage(image, 8, 6, ResizeFilter::kAntialias).pixels);
  for (const auto& [width, height] : {std::pair(1, 1), std::pair(1, 300), std::pair(300, 1)}) {
    EXPECT_EQ(Augmented("resized-crop", Noise(width, height, 1, 1), 3, {4, 4}).pixels.size(), 16u);
  }
}

// Property: the part's area is spread over 0.25..1 of the image and its ratio over 3/4..4/3. A part
// is measured in an image whose red tells the column and whose green tells the row.
TEST(Augment, DrawsAreaAndRatioInTheirRange) {
  Image image{200, 200, 3, {}};
  for (int y = 0; y < 200; ++y) {
    for (int x = 0; x < 200; ++x) {
      image.pixels.push_back(static_cast<std::uint8_t>(x));
      image.pixels.push_back(static_cast<std::uint8_t>(y));
      image.pixels.push_back(0);
    }
  }
  double sum = 0;
  for (std::uint64_t index = 0; index < 500; ++index) {
    const Image out = Augmented("resized-crop:0.25", image, index, {400, 400});
    const int width = PixelAt(out, 399, 0, 0) - PixelAt(out, 0, 0, 0) + 1;
    const int height = PixelAt(out, 0, 399, 1) - PixelAt(out, 0, 0, 1) + 1;
    const double area = width * height / 40000.0;
    EXPECT_GT(area, 0.24);
    EXPECT_LE(area, 1);
    EXPECT_NEAR(width / static_cast<double>(height), 1, 0.35);
    sum += area;
  }
  // Large parts of other ratios do not fit and are drawn again: below the mean of 0.25..1.
  EXPECT_GT(sum / 500, 0.5);
  EXPECT_LT(sum / 500, 0.65);
}

TEST(Augment, DependsOnSeedEpochAndIndexAlone) {
  const Image image = Noise(16, 16, 3, 1);
  const Augmentation augmentation = ParseAugmentation("crop:8,flip");
  const auto pixels = [&](const AugmentSeed& seed) {
    return AugmentImage(augmentation, image, seed, {}).pixels;
  };
  EXPECT_EQ(pixels({1, 2, 3}), pixels({1, 2, 3}));
  EXPECT_NE(pixels({1, 2, 3}), pixels({2, 2, 3}));
  EXPECT_NE(pixels({1, 2, 3}), pixels({1, 3, 3}));
  EXPECT_NE(pixels({1, 2, 3}), pixels({1, 2, 4}));
}

TEST(Augment, ReadsAndWritesItsText) {
  Augmentation cifar;
  cifar.crop_padding = 4;
  cifar.flip = true;
  EXPECT_EQ(ParseAugmentation("crop:4,flip"), cifar);
  EXPECT_EQ(ParseAugmentation("flip,crop:4"), cifar);
  EXPECT_TRUE(ParseAugmentation("none").IsEmpty());
  EXPECT_EQ(AugmentationText({}), "none");
  for (const std::string text : {"crop:4,flip", "resized-crop:0.08,flip", "resized-crop:1"}) {
    EXPECT_EQ(AugmentationText(ParseAugmentation(text)), text);
  }
  EXPECT_EQ(ParseAugmentation("resized-crop").least_area, 0.08);
}

TEST(Augment, RefusesOtherTexts) {
  const std::pair<std::string, std::string> kTexts[] = {
      {"", "empty step"},
      {"flip,", "empty step"},
      {"rotate", "there is no rotate"},
      {"crop", "crop without a value"},
      {"crop:0", "'0' is no padding of 1 to 1024"},
      {"crop:4x", "'4x' is no padding"},
      {"crop:1025", "'1025' is no padding"},
      {"flip:1", "flip with a value"},
      {"flip,flip", "flip comes twice"},
      {"crop:4,crop:4", "crop comes twice"},
      {"none,flip", "there is no none"},
      {"resized-crop:0", "'0' is no area"},
      {"resized-crop:1.1", "'1.1' is no area"},
      {"resized-crop:nan", "'nan' is no area"},
      {"resized-crop,crop:4", "exclude each other"},
  };
  for (const auto& [text, part] : kTexts) {
    SCOPED_TRACE(text);
    ExpectError(ErrorCode::kInvalidArgument, {"augmentation '" + text + "'", part},
                [&] { ParseAugmentation(text); });
  }
}

}  // namespace
}  // namespace espalier
