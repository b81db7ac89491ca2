// Decodes any bytes as a JPEG or PNG, then resizes the image: an Error or an image of the size it
// says.
#include <cstddef>
#include <cstdint>
#include <span>

#include "espalier/base/error.h"
#include "espalier/data/image.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

void RequireWhole(const Image& image) {
  Require(image.width >= 1 && image.height >= 1 && (image.channels == 1 || image.channels == 3));
  Require(image.pixels.size() == static_cast<std::size_t>(image.width) *
                                     static_cast<std::size_t>(image.height) *
                                     static_cast<std::size_t>(image.channels));
}

void Fuzz(std::span<const std::byte> bytes) {
  ImageLimits limits;
  limits.max_pixels = 1 << 20;
  try {
    const Image image = DecodeImage(bytes, limits);
    RequireWhole(image);
    Require(image.width <= limits.max_pixels / image.height);
    for (const ResizeFilter filter : {ResizeFilter::kBilinear, ResizeFilter::kAntialias}) {
      const Image small = ResizeImage(image, 5, 3, filter);
      RequireWhole(small);
      Require(small.width == 5 && small.height == 3);
      RequireWhole(CenterCrop(small, 2, 2));
    }
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile || error.code() == ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::Fuzz(std::as_bytes(std::span(data, size)));
  return 0;
}
