#include "tests/data/make_images.h"

#include <cstdio>  // jpeglib.h needs FILE

#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "espalier/base/random.h"

namespace espalier {
namespace {

J_COLOR_SPACE InputSpace(int channels) {
  return channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
}

J_COLOR_SPACE StoredSpace(JpegKind kind) {
  switch (kind) {
    case JpegKind::kGray:
      return JCS_GRAYSCALE;
    case JpegKind::kYCbCr:
      return JCS_YCbCr;
    case JpegKind::kRgb:
      return JCS_RGB;
    case JpegKind::kCmyk:
      return JCS_CMYK;
    case JpegKind::kYcck:
      break;
  }
  return JCS_YCCK;
}

void AppendBytes(png_structp png, png_bytep bytes, size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))
      ->append(reinterpret_cast<const char*>(bytes), size);
}

}  // namespace

namespace {

std::string Encode(const Image& image, JpegKind kind, bool progressive,
                   const std::vector<jpeg_scan_info>& scans) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = image.channels;
  info.in_color_space = InputSpace(image.channels);
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, StoredSpace(kind));
  jpeg_set_quality(&info, 100, TRUE);
  for (int i = 0; i < info.num_components; ++i) {
    info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
  }
  if (progressive) jpeg_simple_progression(&info);
  if (!scans.empty()) {
    info.scan_info = scans.data();
    info.num_scans = static_cast<int>(scans.size());
  }
  jpeg_start_compress(&info, TRUE);
  std::vector<std::uint8_t> pixels = image.pixels;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() +
                   info.next_scanline * info.image_width * static_cast<unsigned>(image.channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string text(reinterpret_cast<const char*>(bytes), size);
  jpeg_destroy_compress(&info);
  std::free(bytes);
  return text;
}

}  // namespace

std::string MakeJpeg(const Image& image, JpegKind kind, bool progressive) {
  return Encode(image, kind, progressive, {});
}

std::string MakeJpegOfManyScans(const Image& image) {
  constexpr int kBits = 10;  // libjpeg's most
  std::vector<jpeg_scan_info> scans;
  for (int coefficient = 0; coefficient < 64; ++coefficient) {
    scans.push_back({1, {0}, coefficient, coefficient, 0, kBits});
    for (int bit = kBits; bit > 0; --bit) {
      scans.push_back({1, {0}, coefficient, coefficient, bit, bit - 1});
    }
  }
  return Encode(image, JpegKind::kGray, true, scans);
}

std::string MakePng(const PngSpec& spec, const std::string& rows) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::string text;
  png_set_write_fn(png, &text, AppendBytes, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(spec.width),
               static_cast<png_uint_32>(spec.height), spec.bit_depth, spec.color_type,
               spec.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_color palette[256];
  for (int i = 0; i < 256; ++i) {
    palette[i] = {static_cast<png_byte>(i), static_cast<png_byte>(2 * i),
                  static_cast<png_byte>(3 * i)};
  }
  png_byte alpha = 0;
  png_color_16 colour{};
  if (spec.color_type == PNG_COLOR_TYPE_PALETTE) {
    png_set_PLTE(png, info, palette, 1 << spec.bit_depth);
  }
  if (spec.transparent) png_set_tRNS(png, info, &alpha, 1, &colour);
  png_write_info(png, info);
  std::string copy = rows;
  const std::size_t row_bytes = png_get_rowbytes(png, info);
  std::vector<png_bytep> pointers(static_cast<std::size_t>(spec.height));
  for (std::size_t y = 0; y < pointers.size(); ++y) {
    pointers[y] = reinterpret_cast<png_bytep>(copy.data() + y * row_bytes);
  }
  if (spec.interlaced) png_set_interlace_handling(png);
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return text;
}

std::string MakePng(const Image& image) {
  return MakePng({image.width, image.height,
                  image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, 8, false, false},
                 std::string(image.pixels.begin(), image.pixels.end()));
}

Image Gradient(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<std::uint8_t>((4 * x + 2 * y + 40 * c) % 256));
      }
    }
  }
  return image;
}

Image Noise(int width, int height, int channels, std::uint64_t seed) {
  Image image{width, height, channels, {}};
  image.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
                      static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<std::uint8_t>(RandomAt(seed, i) >> 32);
  }
  return image;
}

}  // namespace espalier
