#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace espalier {

/// Pixels of 8 bits, row by row, channels of a pixel side by side: [height, width, channels].
struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;  ///< 1 gray, 3 red, green, blue.
  std::vector<std::uint8_t> pixels;
};

/// What DecodeImage() refuses, so that a hostile header cannot make it allocate at will.
struct ImageLimits {
  std::int64_t max_side = 65'500;     ///< The JPEG format's own limit, in pixels.
  std::int64_t max_pixels = 1 << 26;  ///< 67 million: 201 MB of colour.
  std::int64_t max_file = 256 << 20;  ///< Bytes of one encoded image.
};

/// Whether the bytes begin as a JPEG or PNG file does.
bool IsImage(std::span<const std::byte> bytes) noexcept;

/// Decodes a JPEG (gray, RGB, YCbCr, CMYK, YCCK; baseline or progressive) or PNG (all colour types,
/// bit depths and interlacing). Gray stays one channel, everything else becomes RGB. 16-bit samples
/// keep their high byte. Alpha and transparent colours are dropped, not composited, as in Pillow's
/// convert("RGB") and OpenCV's imread. EXIF orientation, gamma and colour profiles are not applied.
/// @throws Error  kBadFile for other formats, truncated or corrupt data (also where the decoder
/// could
///                go on with a warning), and sizes beyond `limits` or out of proportion to the
///                bytes; kUnsupported for JPEGs of two or over four components.
/// @cost    Thread-safe. Memory: the pixels, and for progressive JPEGs twice as much again.
Image DecodeImage(std::span<const std::byte> bytes, const ImageLimits& limits = {});

/// How ResizeImage() weighs pixels.
enum class ResizeFilter {
  /// Two by two neighbours at half-pixel centres, no antialias, as OpenCV's INTER_LINEAR (which
  /// truncates intermediate results: 1 apart in one pixel of eight).
  kBilinear,
  /// Triangle that widens as the image shrinks: Pillow's BILINEAR, bit for bit where both sides
  /// shrink or both grow.
  kAntialias,
};

/// A new size for the whole image; the aspect ratio is not kept. Rounds to 8 bits.
/// @throws Error  kInvalidArgument if a side is below 1 or the result has over 2^28 pixels.
/// @cost    O(pixels of both images) for kAntialias, O(width * height) for kBilinear.
Image ResizeImage(const Image& image, int width, int height, ResizeFilter filter);

/// The middle of an image, `width` x `height`; an odd rest is split as torchvision's CenterCrop.
/// @throws Error  kInvalidArgument if the image is smaller.
Image CenterCrop(const Image& image, int width, int height);

}  // namespace espalier
