#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE

#include <jerror.h>
#include <jpeglib.h>

#include <vector>

#include "data/codecs.h"
#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

// Progressive files of some kB can ask for thousands of passes over all pixels.
constexpr int kMostScans = 500;
// A block of 8x8 takes a bit at least, so a byte is at most 512 pixels; chroma comes on top.
constexpr std::int64_t kMostPixelsPerByte = 512;

// libjpeg's error manager with the place to jump to, found again through its first member.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void Fail(j_common_ptr common) {
  auto* const manager = reinterpret_cast<ErrorManager*>(common->err);
  (*common->err->format_message)(common, manager->text);
  std::longjmp(manager->jump, 1);
}

// Warnings (level -1) mean lost pixels, but for these about marks that do not matter.
void OnMessage(j_common_ptr common, int level) {
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_BOGUS_ICC:
      return;
    default:
      Fail(common);
  }
}

void Silent(j_common_ptr) {}

void OnProgress(j_common_ptr common) {
  if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number <= kMostScans) return;
  common->err->msg_code = JERR_BAD_PROGRESSION;
  Fail(common);
}

// The functions with setjmp have no C++ objects of their own: longjmp would not destroy them.
bool Create(jpeg_decompress_struct* info, ErrorManager* manager) {
  if (setjmp(manager->jump) != 0) return false;
  jpeg_create_decompress(info);
  return true;
}

bool ReadHeader(jpeg_decompress_struct* info, ErrorManager* manager,
                std::span<const std::byte> bytes) {
  if (setjmp(manager->jump) != 0) return false;
  jpeg_mem_src(info, reinterpret_cast<const unsigned char*>(bytes.data()),
               static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(info, TRUE);
  return true;
}

bool ReadPixels(jpeg_decompress_struct* info, ErrorManager* manager, unsigned char* pixels,
                std::size_t row_bytes) {
  if (setjmp(manager->jump) != 0) return false;
  jpeg_start_decompress(info);
  while (info->output_scanline < info->output_height) {
    JSAMPROW row = pixels + info->output_scanline * row_bytes;
    jpeg_read_scanlines(info, &row, 1);
  }
  jpeg_finish_decompress(info);
  return true;
}

class Decoder {
 public:
  Decoder() {
    info_.err = jpeg_std_error(&manager_.base);
    manager_.base.error_exit = Fail;
    manager_.base.emit_message = OnMessage;
    manager_.base.output_message = Silent;
    ESPALIER_CHECK(Create(&info_, &manager_));
    progress_.progress_monitor = OnProgress;
    info_.progress = &progress_;
  }
  ~Decoder() { jpeg_destroy_decompress(&info_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Image Decode(std::span<const std::byte> bytes, const ImageLimits& limits) {
    Check(ReadHeader(&info_, &manager_, bytes));
    const int channels = ChooseColours();
    Image image = MakeImage(info_.image_width, info_.image_height, channels == 1 ? 1 : 3,
                            bytes.size(), kMostPixelsPerByte, limits);
    const std::size_t row_bytes = std::size_t{info_.image_width} * static_cast<unsigned>(channels);
    if (channels != 4) {
      Check(ReadPixels(&info_, &manager_, image.pixels.data(), row_bytes));
      return image;
    }
    std::vector<unsigned char> inks(row_bytes * info_.image_height);
    Check(ReadPixels(&info_, &manager_, inks.data(), row_bytes));
    InksToRgb(inks, info_.saw_Adobe_marker != 0, image);
    return image;
  }

 private:
  void Check(bool done) const {
    if (done) return;
    throw Error(ErrorCode::kBadFile, fmt::format("corrupt or truncated JPEG: {}", manager_.text));
  }

  // Channels of the pixels that libjpeg is to give.
  int ChooseColours() {
    switch (info_.jpeg_color_space) {
      case JCS_GRAYSCALE:
        info_.out_color_space = JCS_GRAYSCALE;
        return 1;
      case JCS_RGB:
      case JCS_YCbCr:
        info_.out_color_space = JCS_RGB;
        return 3;
      case JCS_CMYK:
      case JCS_YCCK:
        info_.out_color_space = JCS_CMYK;
        return 4;
      default:
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("a JPEG of {} components; gray, RGB, YCbCr, CMYK and YCCK are read",
                                info_.num_components));
    }
  }

  // Adobe's programs, and so nearly all files, store inks inverted: 255 is no ink.
  static void InksToRgb(const std::vector<unsigned char>& inks, bool inverted, Image& image) {
    for (std::size_t i = 0; i < inks.size() / 4; ++i) {
      const auto light = [&](std::size_t ink) {
        const unsigned value = inks[4 * i + ink];
        return inverted ? value : 255 - value;
      };
      for (std::size_t c = 0; c < 3; ++c) {
        image.pixels[3 * i + c] = static_cast<std::uint8_t>((light(c) * light(3) + 127) / 255);
      }
    }
  }

  jpeg_decompress_struct info_{};
  ErrorManager manager_{};
  jpeg_progress_mgr progress_{};
};

}  // namespace

Image DecodeJpeg(std::span<const std::byte> bytes, const ImageLimits& limits) {
  return Decoder().Decode(bytes, limits);
}

}  // namespace espalier::internal
