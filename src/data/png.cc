#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "data/codecs.h"
#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

// Most of a text or profile chunk; none of them is used.
constexpr png_alloc_size_t kMostChunk = png_alloc_size_t{8} << 20;
// Deflate packs at most 1032 bytes into one, a byte has at most 8 pixels.
constexpr std::int64_t kMostPixelsPerByte = 1032 * 8;

struct Reader {
  std::span<const std::byte> rest;
  char text[256] = {};
};

[[noreturn]] void Fail(png_structp png, png_const_charp text) {
  auto* const reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::strncpy(reader->text, text, sizeof reader->text - 1);
  png_longjmp(png, 1);
}

void Ignore(png_structp, png_const_charp) {}

void ReadBytes(png_structp png, png_bytep out, size_t count) {
  auto* const reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader->rest.size()) png_error(png, "the data end too early");
  std::memcpy(out, reader->rest.data(), count);
  reader->rest = reader->rest.subspan(count);
}

// The functions with setjmp have no C++ objects of their own: longjmp would not destroy them.
bool ReadHeader(png_structp png, png_infop info, const ImageLimits* limits) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  const auto side = static_cast<png_uint_32>(limits->max_side);
  png_set_user_limits(png, side, side);
  png_set_chunk_malloc_max(png, kMostChunk);
  png_read_info(png, info);
  png_set_palette_to_rgb(png);
  png_set_expand_gray_1_2_4_to_8(png);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return true;
}

bool ReadPixels(png_structp png, png_infop info, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_image(png, rows);
  png_read_end(png, info);
  return true;
}

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> bytes) : bytes_(bytes.size()), reader_{bytes} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader_, Fail, Ignore);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw Error(ErrorCode::kInternal, "libpng has no memory or is not the one of its header");
    }
    png_set_read_fn(png_, &reader_, ReadBytes);
  }
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Image Decode(const ImageLimits& limits) {
    Check(ReadHeader(png_, info_, &limits));
    const int channels = png_get_channels(png_, info_);
    // A palette's transparency may leave an alpha channel on other versions; nothing else does.
    ESPALIER_CHECK(channels == 1 || channels == 3);
    Image image = MakeImage(png_get_image_width(png_, info_), png_get_image_height(png_, info_),
                            channels, bytes_, kMostPixelsPerByte, limits);
    const auto row_bytes = static_cast<std::size_t>(image.width) * static_cast<unsigned>(channels);
    ESPALIER_CHECK(png_get_rowbytes(png_, info_) == row_bytes);
    std::vector<png_bytep> rows(static_cast<std::size_t>(image.height));
    for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = image.pixels.data() + y * row_bytes;
    Check(ReadPixels(png_, info_, rows.data()));
    return image;
  }

 private:
  void Check(bool done) const {
    if (done) return;
    throw Error(ErrorCode::kBadFile, fmt::format("corrupt or truncated PNG: {}", reader_.text));
  }

  std::size_t bytes_;
  Reader reader_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

}  // namespace

Image DecodePng(std::span<const std::byte> bytes, const ImageLimits& limits) {
  return Decoder(bytes).Decode(limits);
}

}  // namespace espalier::internal
