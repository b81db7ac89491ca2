#pragma once

#include <cstdint>
#include <string>

#include "espalier/data/image.h"

namespace espalier {

/// How a test writes a JPEG. Quality 100, no subsampling.
enum class JpegKind { kGray, kYCbCr, kRgb, kCmyk, kYcck };

/// `channels` of the image: 1, 3 or 4 (inks, as they are to be stored).
std::string MakeJpeg(const Image& image, JpegKind kind, bool progressive = false);

/// A progressive gray JPEG that sends each bit of each of 63 coefficients in a scan of its own: 704
/// scans, all legal.
std::string MakeJpegOfManyScans(const Image& image);

/// A PNG from its raw rows: `color_type` and `bit_depth` as the format has them; a palette type
/// gets the colours (i, 2 i, 3 i) and, with `transparent`, the first of them transparent.
struct PngSpec {
  int width = 1;
  int height = 1;
  int color_type = 0;
  int bit_depth = 8;
  bool interlaced = false;
  bool transparent = false;
};
std::string MakePng(const PngSpec& spec, const std::string& rows);

/// An 8-bit RGB or gray PNG of an image.
std::string MakePng(const Image& image);

/// A smooth image whose channels differ, so that swapped axes or channels show.
Image Gradient(int width, int height, int channels);

/// Pixels of noise, the same for each seed.
Image Noise(int width, int height, int channels, std::uint64_t seed);

}  // namespace espalier
