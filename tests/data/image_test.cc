#include "espalier/data/image.h"

#include <png.h>

#include <cstdlib>
#include <string>

#include "tests/data/make_images.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

Image Decode(std::string_view text, const ImageLimits& limits = {}) {
  return DecodeImage(Bytes(text), limits);
}

void ExpectNear(const Image& got, const Image& want, int tolerance) {
  ASSERT_EQ(got.width, want.width);
  ASSERT_EQ(got.height, want.height);
  ASSERT_EQ(got.channels, want.channels);
  ASSERT_EQ(got.pixels.size(), want.pixels.size());
  for (std::size_t i = 0; i < got.pixels.size(); ++i) {
    ASSERT_NEAR(got.pixels[i], want.pixels[i], tolerance) << "at " << i;
  }
}

// At quality 100 each DCT coefficient is rounded to whole numbers and each colour conversion to 8
// bits: some units at most.
constexpr int kJpegTolerance = 4;

TEST(Jpeg, DecodesGrayAndColour) {
  for (const bool progressive : {false, true}) {
    for (const int side : {1, 7, 8, 33}) {
      SCOPED_TRACE(side);
      const Image gray = Gradient(side, side + 2, 1), colour = Gradient(side, side + 2, 3);
      ExpectNear(Decode(MakeJpeg(gray, JpegKind::kGray, progressive)), gray, kJpegTolerance);
      ExpectNear(Decode(MakeJpeg(colour, JpegKind::kYCbCr, progressive)), colour, kJpegTolerance);
      ExpectNear(Decode(MakeJpeg(colour, JpegKind::kRgb, progressive)), colour, kJpegTolerance);
    }
  }
}

// libjpeg writes an Adobe mark for YCCK and CMYK, so the inks count as stored inverted.
TEST(Jpeg, TurnsInvertedInksIntoRgb) {
  const Image inks = Gradient(17, 9, 4);
  Image want{17, 9, 3, {}};
  for (std::size_t i = 0; i < inks.pixels.size(); i += 4) {
    for (std::size_t c = 0; c < 3; ++c) {
      want.pixels.push_back(
          static_cast<std::uint8_t>(inks.pixels[i + c] * inks.pixels[i + 3] / 255.0 + 0.5));
    }
  }
  ExpectNear(Decode(MakeJpeg(inks, JpegKind::kCmyk)), want, kJpegTolerance);
  ExpectNear(Decode(MakeJpeg(inks, JpegKind::kYcck)), want, 2 * kJpegTolerance);
}

TEST(Jpeg, TurnsPlainInksIntoRgb) {
  const Image inks = Gradient(16, 8, 4);
  std::string text = MakeJpeg(inks, JpegKind::kCmyk);
  const std::size_t adobe = text.find("Adobe");
  ASSERT_NE(adobe, std::string::npos);
  text[adobe] = 'X';  // the mark is now of an unknown program
  Image want{16, 8, 3, {}};
  for (std::size_t i = 0; i < inks.pixels.size(); i += 4) {
    for (std::size_t c = 0; c < 3; ++c) {
      want.pixels.push_back(static_cast<std::uint8_t>(
          (255 - inks.pixels[i + c]) * (255 - inks.pixels[i + 3]) / 255.0 + 0.5));
    }
  }
  ExpectNear(Decode(text), want, kJpegTolerance);
}

TEST(Jpeg, RefusesEachTruncation) {
  const std::string whole = MakeJpeg(Noise(24, 16, 3, 1), JpegKind::kYCbCr);
  // The last two bytes are the mark of the end.
  for (std::size_t size = 3; size + 2 < whole.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectError(ErrorCode::kBadFile, {"JPEG"}, [&] { Decode(whole.substr(0, size)); });
  }
}

TEST(Jpeg, RefusesASizeThatItsBytesCannotHold) {
  std::string text = MakeJpeg(Gradient(16, 16, 3), JpegKind::kYCbCr);
  const std::size_t frame = text.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  text.replace(frame + 5, 4, "\x10\x01\x10\x01");  // 4097 x 4097
  ExpectError(ErrorCode::kBadFile, {"4097x4097", "cannot hold"}, [&] { Decode(text); });
  text.replace(frame + 5, 4, "\x7F\xFF\x7F\xFF");
  ExpectError(ErrorCode::kBadFile, {"32767x32767", "67108864"}, [&] { Decode(text); });
}

// As some cameras write them; nothing of the picture is lost.
TEST(Jpeg, PassesBytesBetweenItsParts) {
  const Image image = Gradient(9, 9, 3);
  std::string text = MakeJpeg(image, JpegKind::kYCbCr);
  const std::size_t scan = text.find("\xFF\xDA");
  ASSERT_NE(scan, std::string::npos);
  ExpectNear(Decode(text.insert(scan, "junk")), image, kJpegTolerance);
}

// Without a limit, some kB ask for hundreds of passes over many pixels.
TEST(Jpeg, RefusesHundredsOfScans) {
  const std::string text = MakeJpegOfManyScans(Gradient(16, 16, 1));
  ExpectError(ErrorCode::kBadFile, {"JPEG"}, [&] { Decode(text); });
}

std::string Rows(const Image& image) { return {image.pixels.begin(), image.pixels.end()}; }

TEST(Png, DecodesGrayAndColourExactly) {
  for (const bool interlaced : {false, true}) {
    for (const int channels : {1, 3}) {
      const Image image = Noise(13, 10, channels, 5);
      const int type = channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB;
      ExpectNear(Decode(MakePng({13, 10, type, 8, interlaced, false}, Rows(image))), image, 0);
    }
  }
}

TEST(Png, SpreadsSmallGraysOver8Bits) {
  // One row of 1-, 2- and 4-bit samples.
  ExpectNear(Decode(MakePng({3, 1, PNG_COLOR_TYPE_GRAY, 1, false, false}, "\xA0")),
             Image{3, 1, 1, {255, 0, 255}}, 0);
  ExpectNear(Decode(MakePng({4, 1, PNG_COLOR_TYPE_GRAY, 2, false, false}, "\x1B")),
             Image{4, 1, 1, {0, 85, 170, 255}}, 0);
  ExpectNear(Decode(MakePng({2, 1, PNG_COLOR_TYPE_GRAY, 4, false, false}, "\x2F")),
             Image{2, 1, 1, {34, 255}}, 0);
}

TEST(Png, KeepsTheHighByteOf16Bits) {
  ExpectNear(Decode(MakePng({2, 1, PNG_COLOR_TYPE_GRAY, 16, false, false}, "\x12\xFF\xFF\x01")),
             Image{2, 1, 1, {0x12, 0xFF}}, 0);
  ExpectNear(
      Decode(MakePng({1, 1, PNG_COLOR_TYPE_RGB, 16, false, false}, "\x01\x02\x03\x04\x05\x06")),
      Image{1, 1, 3, {1, 3, 5}}, 0);
}

TEST(Png, DropsAlpha) {
  ExpectNear(Decode(MakePng({1, 1, PNG_COLOR_TYPE_RGB_ALPHA, 8, false, false}, "\x0A\x14\x1E\x01")),
             Image{1, 1, 3, {10, 20, 30}}, 0);
  ExpectNear(Decode(MakePng({1, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false}, "\x0A\x01")),
             Image{1, 1, 1, {10}}, 0);
  ExpectNear(
      Decode(MakePng({1, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 16, false, false}, "\x0A\x01\x02\x03")),
      Image{1, 1, 1, {10}}, 0);
}

TEST(Png, LooksUpPalettes) {
  for (const bool transparent : {false, true}) {
    ExpectNear(Decode(MakePng({2, 1, PNG_COLOR_TYPE_PALETTE, 4, false, transparent}, "\x5F")),
               Image{2, 1, 3, {5, 10, 15, 15, 30, 45}}, 0);
  }
}

TEST(Png, RefusesEachTruncation) {
  const std::string whole = MakePng(Noise(9, 7, 3, 2));
  for (std::size_t size = 8; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectError(ErrorCode::kBadFile, {"PNG"}, [&] { Decode(whole.substr(0, size)); });
  }
}

TEST(Png, RefusesAWrongByteInThePixels) {
  std::string text = MakePng(Noise(9, 7, 3, 2));
  text[text.find("IDAT") + 20] = static_cast<char>(text[text.find("IDAT") + 20] ^ 0x40);
  ExpectError(ErrorCode::kBadFile, {"PNG"}, [&] { Decode(text); });
}

TEST(DecodeImage, RefusesSizesOverItsLimits) {
  const std::string text = MakePng(Gradient(40, 30, 1));
  ImageLimits limits;
  limits.max_pixels = 1199;
  ExpectError(ErrorCode::kBadFile, {"40x30", "1199"}, [&] { Decode(text, limits); });
  limits = {};
  limits.max_side = 39;
  ExpectError(ErrorCode::kBadFile, {"PNG"}, [&] { Decode(text, limits); });
  limits = {};
  limits.max_file = 50;
  ExpectError(ErrorCode::kBadFile, {"limit is 50"}, [&] { Decode(text, limits); });
}

TEST(DecodeImage, RefusesOtherFormats) {
  for (const std::string_view text : {"", "\xFF\xD8", "GIF89a", "BM123456", "\x89PNG\r\n"}) {
    EXPECT_FALSE(IsImage(Bytes(text)));
    ExpectError(ErrorCode::kBadFile, {"neither as JPEG nor as PNG"}, [&] { Decode(text); });
  }
  EXPECT_TRUE(IsImage(Bytes(MakePng(Gradient(2, 2, 1)))));
  EXPECT_TRUE(IsImage(Bytes(MakeJpeg(Gradient(2, 2, 1), JpegKind::kGray))));
}

}  // namespace
}  // namespace espalier
