#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/data/image.h"

namespace espalier {
namespace {

constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;

Image EmptyImage(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  image.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
                      static_cast<std::size_t>(channels));
  return image;
}

// The two neighbours of an output position, and how much the second counts.
struct Neighbours {
  std::size_t first = 0;
  std::size_t second = 0;
  float fraction = 0;
};

std::vector<Neighbours> FindNeighbours(int in, int out) {
  std::vector<Neighbours> all(static_cast<std::size_t>(out));
  const double scale = static_cast<double>(in) / out;
  for (int i = 0; i < out; ++i) {
    // Beyond the outermost centres, the outermost pixel goes on.
    const double at = std::clamp((i + 0.5) * scale - 0.5, 0.0, in - 1.0);
    const auto first = static_cast<int>(at);
    all[static_cast<std::size_t>(i)] = {static_cast<std::size_t>(first),
                                        static_cast<std::size_t>(std::min(first + 1, in - 1)),
                                        static_cast<float>(at - first)};
  }
  return all;
}

Image ResizeBilinear(const Image& image, int width, int height) {
  Image out = EmptyImage(width, height, image.channels);
  const std::vector<Neighbours> columns = FindNeighbours(image.width, width);
  const std::vector<Neighbours> rows = FindNeighbours(image.height, height);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * channels;
  std::uint8_t* to = out.pixels.data();
  for (const Neighbours& row : rows) {
    const std::uint8_t* const upper = image.pixels.data() + row.first * row_bytes;
    const std::uint8_t* const lower = image.pixels.data() + row.second * row_bytes;
    for (const Neighbours& column : columns) {
      for (std::size_t c = 0; c < channels; ++c) {
        const std::size_t left = column.first * channels + c;
        const std::size_t right = column.second * channels + c;
        const auto mix = [](float a, float b, float fraction) { return a + (b - a) * fraction; };
        const float top = mix(upper[left], upper[right], column.fraction);
        const float bottom = mix(lower[left], lower[right], column.fraction);
        *to++ = static_cast<std::uint8_t>(mix(top, bottom, row.fraction) + 0.5f);
      }
    }
  }
  return out;
}

// Weights of the input positions [begin, begin + weights.size()) for one output position. Whole
// numbers of 1 / 2^22, as Pillow's, so that results agree to the bit.
constexpr int kWeightBits = 22;
struct Window {
  std::size_t begin = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Window> FindWindows(int in, int out) {
  std::vector<Window> windows(static_cast<std::size_t>(out));
  const double scale = static_cast<double>(in) / out;
  const double radius = std::max(scale, 1.0);  // of the triangle, in input pixels
  const double per_pixel = 1.0 / radius;
  std::vector<double> weights;
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(centre - radius + 0.5));
    const int end = std::min(in, static_cast<int>(centre + radius + 0.5));
    weights.clear();
    double sum = 0;
    for (int j = begin; j < end; ++j) {
      const double distance = std::abs((j - centre + 0.5) * per_pixel);
      weights.push_back(std::max(0.0, 1.0 - distance));
      sum += weights.back();
    }
    Window& window = windows[static_cast<std::size_t>(i)];
    window.begin = static_cast<std::size_t>(begin);
    for (const double weight : weights) {
      const double share = sum != 0 ? weight / sum : weight;
      window.weights.push_back(static_cast<std::int32_t>(0.5 + share * (1 << kWeightBits)));
    }
  }
  return windows;
}

std::uint8_t WeighedSum(const Window& window, const std::uint8_t* from, std::size_t stride) {
  std::int64_t sum = std::int64_t{1} << (kWeightBits - 1);
  for (const std::int32_t weight : window.weights) {
    sum += std::int64_t{weight} * *from;
    from += stride;
  }
  return static_cast<std::uint8_t>(std::min<std::int64_t>(sum >> kWeightBits, 255));
}

Image AntialiasColumns(const Image& image, int width) {
  Image out = EmptyImage(width, image.height, image.channels);
  const std::vector<Window> windows = FindWindows(image.width, width);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * channels;
  std::uint8_t* to = out.pixels.data();
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    const std::uint8_t* const row = image.pixels.data() + y * row_bytes;
    for (const Window& window : windows) {
      for (std::size_t c = 0; c < channels; ++c) {
        *to++ = WeighedSum(window, row + window.begin * channels + c, channels);
      }
    }
  }
  return out;
}

Image AntialiasRows(const Image& image, int height) {
  Image out = EmptyImage(image.width, height, image.channels);
  const std::vector<Window> windows = FindWindows(image.height, height);
  const std::size_t row_bytes =
      static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  std::uint8_t* to = out.pixels.data();
  for (const Window& window : windows) {
    const std::uint8_t* const from = image.pixels.data() + window.begin * row_bytes;
    for (std::size_t i = 0; i < row_bytes; ++i) *to++ = WeighedSum(window, from + i, row_bytes);
  }
  return out;
}

void CheckSize(std::string_view what, int width, int height) {
  if (width >= 1 && height >= 1 && height <= kMostPixels / width) return;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("{} to {}x{}; sides from 1 and up to {} pixels in all are possible", what,
                          width, height, kMostPixels));
}

void CheckImage(const Image& image) {
  ESPALIER_CHECK(image.width >= 1 && image.height >= 1 && image.channels >= 1);
  ESPALIER_CHECK(image.pixels.size() == static_cast<std::size_t>(image.width) *
                                            static_cast<std::size_t>(image.height) *
                                            static_cast<std::size_t>(image.channels));
}

}  // namespace

Image ResizeImage(const Image& image, int width, int height, ResizeFilter filter) {
  CheckImage(image);
  CheckSize("resize", width, height);
  if (width == image.width && height == image.height) return image;
  if (filter == ResizeFilter::kBilinear) return ResizeBilinear(image, width, height);
  if (width == image.width) return AntialiasRows(image, height);
  CheckSize("resize", width, image.height);
  Image wide = AntialiasColumns(image, width);
  return height == image.height ? wide : AntialiasRows(wide, height);
}

Image CenterCrop(const Image& image, int width, int height) {
  CheckImage(image);
  CheckSize("crop", width, height);
  if (width > image.width || height > image.height) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("cannot crop an image of {}x{} pixels to {}x{}", image.width,
                            image.height, width, height));
  }
  // Halves go to the even number, as in Python's round().
  const auto middle = [](int rest) {
    return static_cast<std::size_t>((rest / 2) + (rest % 4 == 3 ? 1 : 0));
  };
  Image out = EmptyImage(width, height, image.channels);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * channels;
  const std::size_t out_bytes = static_cast<std::size_t>(width) * channels;
  const std::uint8_t* const from = image.pixels.data() + middle(image.height - height) * row_bytes +
                                   middle(image.width - width) * channels;
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    std::memcpy(out.pixels.data() + y * out_bytes, from + y * row_bytes, out_bytes);
  }
  return out;
}

}  // namespace espalier
