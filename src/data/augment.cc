#include "espalier/data/augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Quote;

// Wider padding than the widest image that is decoded would only make black images.
constexpr int kMostPadding = 1024;

struct Rectangle {
  int left = 0;  // may lie outside the image
  int top = 0;
  int width = 0;
  int height = 0;
};

// One image's stream of random numbers.
class Draws {
 public:
  explicit Draws(const AugmentSeed& seed)
      : key_(RandomAt(RandomAt(SeedFor(seed.seed, "augment"), seed.epoch), seed.index)) {}

  /// 0 <= value < 1, in steps of 2^-53.
  double Unit() { return static_cast<double>(RandomAt(key_, next_++) >> 11) * 0x1p-53; }
  double Between(double low, double high) { return low + (high - low) * Unit(); }
  /// 0 .. count - 1.
  int Below(int count) { return static_cast<int>(Unit() * count); }

 private:
  std::uint64_t key_;
  std::uint64_t next_ = 0;
};

// Pixels of `part`; black where it lies outside the image.
Image CutOut(const Image& image, const Rectangle& part) {
  const auto channels = static_cast<std::size_t>(image.channels);
  Image out{part.width, part.height, image.channels, {}};
  out.pixels.resize(static_cast<std::size_t>(part.width) * static_cast<std::size_t>(part.height) *
                    channels);
  const int first = std::max(part.left, 0);
  const int last = std::min(part.left + part.width, image.width);
  if (first >= last) return out;
  for (int y = std::max(part.top, 0); y < std::min(part.top + part.height, image.height); ++y) {
    const auto from = (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) +
                       static_cast<std::size_t>(first)) *
                      channels;
    const auto to = (static_cast<std::size_t>(y - part.top) * static_cast<std::size_t>(part.width) +
                     static_cast<std::size_t>(first - part.left)) *
                    channels;
    std::memcpy(out.pixels.data() + to, image.pixels.data() + from,
                static_cast<std::size_t>(last - first) * channels);
  }
  return out;
}

void Mirror(Image& image) {
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * channels;
  for (std::size_t at = 0; at + row_bytes <= image.pixels.size(); at += row_bytes) {
    std::uint8_t* left = image.pixels.data() + at;
    std::uint8_t* right = left + row_bytes - channels;
    for (; left < right; left += channels, right -= channels) {
      std::swap_ranges(left, left + channels, right);
    }
  }
}

// The middle, as large as an aspect ratio of 3/4 to 4/3 allows.
Rectangle MiddlePart(const Image& image) {
  Rectangle part{0, 0, image.width, image.height};
  const double ratio = static_cast<double>(image.width) / image.height;
  if (ratio < 3.0 / 4) {
    part.height = static_cast<int>(std::lround(image.width / (3.0 / 4)));
  } else if (ratio > 4.0 / 3) {
    part.width = static_cast<int>(std::lround(image.height * (4.0 / 3)));
  }
  part.left = (image.width - part.width) / 2;
  part.top = (image.height - part.height) / 2;
  return part;
}

Rectangle RandomPart(const Image& image, double least_area, Draws& draws) {
  const double area = static_cast<double>(image.width) * image.height;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double part_area = area * draws.Between(least_area, 1);
    const double ratio = std::exp(draws.Between(std::log(3.0 / 4), std::log(4.0 / 3)));
    const auto width = static_cast<int>(std::lround(std::sqrt(part_area * ratio)));
    const auto height = static_cast<int>(std::lround(std::sqrt(part_area / ratio)));
    if (width < 1 || width > image.width || height < 1 || height > image.height) continue;
    const int top = draws.Below(image.height - height + 1);
    return {draws.Below(image.width - width + 1), top, width, height};
  }
  return MiddlePart(image);
}

[[noreturn]] void Refuse(std::string_view text, std::string_view reason) {
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("augmentation {}: {}; give none, or crop:PIXELS, flip, resized-crop or "
                          "resized-crop:AREA with commas, as crop:4,flip",
                          Quote(text), reason));
}

template <typename Number>
std::optional<Number> ParseWhole(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// `argument` is what follows the colon; nothing if there is none.
void ApplyStep(Augmentation& augmentation, std::string_view name,
               std::optional<std::string_view> argument, std::string_view text) {
  const auto once = [&](bool before) {
    if (before) Refuse(text, fmt::format("{} comes twice", name));
  };
  if (name == "crop" && argument) {
    once(augmentation.crop_padding != 0);
    const auto padding = ParseWhole<int>(*argument);
    if (!padding || *padding < 1 || *padding > kMostPadding) {
      Refuse(text, fmt::format("{} is no padding of 1 to {}", Quote(*argument), kMostPadding));
    }
    augmentation.crop_padding = *padding;
  } else if (name == "flip" && !argument) {
    once(augmentation.flip);
    augmentation.flip = true;
  } else if (name == "resized-crop") {
    once(augmentation.resized_crop);
    augmentation.resized_crop = true;
    if (!argument) return;
    const auto area = ParseWhole<double>(*argument);
    if (!area || !(*area > 0 && *area <= 1)) {
      Refuse(text, fmt::format("{} is no area over 0, up to 1", Quote(*argument)));
    }
    augmentation.least_area = *area;
  } else {
    Refuse(text, fmt::format("there is no {}{}", name.empty() ? "empty step" : name,
                             argument         ? " with a value"
                             : name == "crop" ? " without a value"
                                              : ""));
  }
}

}  // namespace

Augmentation ParseAugmentation(std::string_view text) {
  Augmentation augmentation;
  if (text == "none") return augmentation;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view step = text.substr(begin, end - begin);
    const std::size_t colon = step.find(':');
    std::optional<std::string_view> argument;
    if (colon != std::string_view::npos) argument = step.substr(colon + 1);
    ApplyStep(augmentation, step.substr(0, colon), argument, text);
    begin = end + 1;
  }
  if (augmentation.resized_crop && augmentation.crop_padding != 0) {
    Refuse(text, "crop and resized-crop exclude each other");
  }
  return augmentation;
}

std::string AugmentationText(const Augmentation& augmentation) {
  std::string text;
  const auto add = [&](const std::string& step) { text += (text.empty() ? "" : ",") + step; };
  if (augmentation.crop_padding != 0) add(fmt::format("crop:{}", augmentation.crop_padding));
  if (augmentation.resized_crop) add(fmt::format("resized-crop:{}", augmentation.least_area));
  if (augmentation.flip) add("flip");
  return text.empty() ? "none" : text;
}

Image AugmentImage(const Augmentation& augmentation, const Image& image, const AugmentSeed& seed,
                   const AugmentTarget& target) {
  Draws draws(seed);
  const bool flip = draws.Unit() < 0.5 && augmentation.flip;
  Image out;
  if (augmentation.resized_crop) {
    const Rectangle part = RandomPart(image, augmentation.least_area, draws);
    out = ResizeImage(CutOut(image, part), target.width, target.height, target.filter);
  } else if (augmentation.crop_padding != 0) {
    const int padding = augmentation.crop_padding;
    const int top = draws.Below(2 * padding + 1) - padding;
    out = CutOut(image, {draws.Below(2 * padding + 1) - padding, top, image.width, image.height});
  } else {
    out = image;
  }
  if (flip) Mirror(out);
  return out;
}

}  // namespace espalier
