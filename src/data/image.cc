#include "espalier/data/image.h"

#include <fmt/format.h>

#include <string_view>

#include "data/codecs.h"
#include "espalier/base/error.h"

namespace espalier {
namespace {

constexpr std::string_view kJpegMagic = "\xFF\xD8\xFF";
constexpr std::string_view kPngMagic = "\x89PNG\r\n\x1A\n";

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

bool IsImage(std::span<const std::byte> bytes) noexcept {
  return Text(bytes).starts_with(kJpegMagic) || Text(bytes).starts_with(kPngMagic);
}

Image DecodeImage(std::span<const std::byte> bytes, const ImageLimits& limits) {
  if (static_cast<std::int64_t>(bytes.size()) > limits.max_file) {
    throw Error(ErrorCode::kBadFile, fmt::format("an image file of {} bytes, the limit is {}",
                                                 bytes.size(), limits.max_file));
  }
  if (Text(bytes).starts_with(kJpegMagic)) return internal::DecodeJpeg(bytes, limits);
  if (Text(bytes).starts_with(kPngMagic)) return internal::DecodePng(bytes, limits);
  throw Error(ErrorCode::kBadFile,
              fmt::format("the image ({} bytes) begins neither as JPEG nor as PNG", bytes.size()));
}

namespace internal {

Image MakeImage(std::int64_t width, std::int64_t height, int channels, std::size_t file_bytes,
                std::int64_t most_per_byte, const ImageLimits& limits) {
  if (width < 1 || height < 1 || width > limits.max_side || height > limits.max_side ||
      height > limits.max_pixels / width) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("an image of {}x{} pixels; sides of 1 to {} and {} pixels in all are "
                            "read",
                            width, height, limits.max_side, limits.max_pixels));
  }
  // Small images may be mostly header, or repeat little: only big ones can be a hostile promise.
  constexpr std::int64_t kAlwaysFine = 1 << 18;
  if (width * height > kAlwaysFine &&
      width * height / most_per_byte > static_cast<std::int64_t>(file_bytes)) {
    throw Error(ErrorCode::kBadFile, fmt::format("{} bytes cannot hold {}x{} pixels; the image is "
                                                 "truncated",
                                                 file_bytes, width, height));
  }
  Image image;
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.channels = channels;
  image.pixels.resize(static_cast<std::size_t>(width * height * channels));
  return image;
}

}  // namespace internal
}  // namespace espalier
