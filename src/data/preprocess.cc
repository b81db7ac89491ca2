#include "espalier/data/preprocess.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "data/arrays.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Quote;
using Kind = ResizeStep::Kind;

// Positions of channels, height and width among the dimensions of an image.
struct Axes {
  std::size_t channels, height, width;
};

Axes AxesOf(InputLayout layout) {
  return layout == InputLayout::kNchw ? Axes{0, 1, 2} : Axes{2, 0, 1};
}

std::int64_t ChannelCount(ChannelOrder order) { return order == ChannelOrder::kGray ? 1 : 3; }

[[noreturn]] void ThrowShape(const std::string& text) {
  throw Error(ErrorCode::kShapeMismatch, text);
}

Dims TensorShape(const Dims& model_input, const Sample& sample) {
  const Dims& own = sample.tensor.shape;
  bool fits = model_input.size() == own.size() + 1;
  for (std::size_t i = 0; fits && i < own.size(); ++i) {
    fits = model_input[i + 1] < 0 || model_input[i + 1] == own[i];
  }
  if (!fits) {
    ThrowShape(fmt::format("{} has the shape {}, the model's input with its batch is {}",
                           Quote(sample.name), DimsText(own), DimsText(model_input)));
  }
  return own;
}

void CheckChannels(const Preprocess& preprocess, const Dims& model_input, const Axes& axes) {
  const std::int64_t wanted = model_input[axes.channels + 1];
  const std::int64_t given = ChannelCount(preprocess.channels);
  if (wanted < 0 || wanted == given) return;
  const Axes other =
      AxesOf(preprocess.layout == InputLayout::kNchw ? InputLayout::kNhwc : InputLayout::kNchw);
  if (model_input[other.channels + 1] == given) {
    ThrowShape(fmt::format(
        "the model's input {} has its {} channels in the other place; choose "
        "layout {}",
        DimsText(model_input), given, preprocess.layout == InputLayout::kNchw ? "nhwc" : "nchw"));
  }
  ThrowShape(
      fmt::format("the model's input {} has {} channels, the preprocessing gives {}; choose "
                  "channels {}",
                  DimsText(model_input), wanted, given,
                  wanted == 1 ? "gray" : "rgb or bgr, or another layout"));
}

// One side of the input: what the model says, else the preprocessing, else the image.
std::int64_t ChooseSide(std::int64_t models, int resize, int fallback, int images,
                        std::string_view side) {
  if (models == 0) ThrowShape(fmt::format("the model's input has {} 0", side));
  if (models > 0 && resize > 0 && models != resize) {
    ThrowShape(fmt::format("the model's input has {} {}, resize gives {}", side, models, resize));
  }
  if (models > 0) return models;
  if (resize > 0) return resize;
  return fallback > 0 ? fallback : images;
}

// A side of an image that is scaled so that its shorter side becomes `shorter`.
int ScaledSide(int side, int shorter_side, int shorter) {
  const std::int64_t scaled = std::int64_t{side} * shorter / shorter_side;  // down, as torchvision
  if (scaled > (1 << 28)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("a side of {} pixels would become {}", side, scaled));
  }
  return static_cast<int>(scaled);
}

Image CropStep(const Preprocess& preprocess, const Image& image, int width, int height) {
  const int target = std::min(width, height);
  // 8/7: the 256 of 224, which most ImageNet models are trained for.
  int shorter = preprocess.resize.shorter;
  if (shorter == 0) shorter = static_cast<int>(std::lround(target * 8.0 / 7.0));
  const int side = std::min(image.width, image.height);
  const Image scaled = ResizeImage(image, ScaledSide(image.width, side, shorter),
                                   ScaledSide(image.height, side, shorter), preprocess.filter);
  return CenterCrop(scaled, width, height);
}

// The image in the target's size; `scratch` owns it if it had to change.
const Image& Resized(const Preprocess& preprocess, const Image& image, int width, int height,
                     Image& scratch) {
  if (preprocess.resize.kind == Kind::kCrop) {
    scratch = CropStep(preprocess, image, width, height);
    return scratch;
  }
  if (image.width == width && image.height == height) return image;
  if (preprocess.resize.kind == Kind::kNone) {
    ThrowShape(fmt::format("the image is {}x{}, the input {}x{}; choose another resize than none",
                           image.width, image.height, width, height));
  }
  scratch = ResizeImage(image, width, height, preprocess.filter);
  return scratch;
}

// A pixel in the input's channel order. Gray of colour is ITU-R 601's luma, as in Pillow.
std::array<std::uint8_t, 3> Reorder(const std::uint8_t* pixel, int channels, ChannelOrder order) {
  if (channels == 1) return {pixel[0], pixel[0], pixel[0]};
  if (order == ChannelOrder::kRgb) return {pixel[0], pixel[1], pixel[2]};
  if (order == ChannelOrder::kBgr) return {pixel[2], pixel[1], pixel[0]};
  const unsigned luma = 19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 0x8000u;
  const auto gray = static_cast<std::uint8_t>(luma >> 16);
  return {gray, gray, gray};
}

using Table = std::array<float, 256>;

// What each pixel value becomes, for each channel.
std::vector<Table> MakeTables(const Preprocess& preprocess, std::size_t channels) {
  for (const auto* values : {&preprocess.mean, &preprocess.std}) {
    if (values->size() != 1 && values->size() != channels) {
      ThrowShape(fmt::format("{} values of {}, but the input has {} channels", values->size(),
                             values == &preprocess.mean ? "mean" : "std", channels));
    }
  }
  std::vector<Table> tables(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = preprocess.mean[preprocess.mean.size() == 1 ? 0 : c];
    const double std = preprocess.std[preprocess.std.size() == 1 ? 0 : c];
    for (std::size_t v = 0; v < tables[c].size(); ++v) {
      tables[c][v] = static_cast<float>((static_cast<double>(v) * preprocess.scale - mean) / std);
    }
  }
  return tables;
}

void FillImage(const Preprocess& preprocess, const Image& whole, const Dims& shape,
               std::span<float> out) {
  const Axes axes = AxesOf(preprocess.layout);
  const auto count = static_cast<std::size_t>(ChannelCount(preprocess.channels));
  if (shape.size() != 3 || shape[axes.channels] != static_cast<std::int64_t>(count)) {
    ThrowShape(
        fmt::format("an image of {} channels does not fit the shape {}", count, DimsText(shape)));
  }
  Image scratch;
  const Image& image = Resized(preprocess, whole, static_cast<int>(shape[axes.width]),
                               static_cast<int>(shape[axes.height]), scratch);
  const std::vector<Table> tables = MakeTables(preprocess, count);
  const std::size_t pixels = out.size() / count;
  const auto channels = static_cast<std::size_t>(image.channels);
  ESPALIER_CHECK(image.pixels.size() == pixels * channels);
  const bool planes = preprocess.layout == InputLayout::kNchw;
  const std::size_t pixel_stride = planes ? 1 : count;
  const std::size_t channel_stride = planes ? pixels : 1;
  for (std::size_t i = 0; i < pixels; ++i) {
    const auto values =
        Reorder(image.pixels.data() + i * channels, image.channels, preprocess.channels);
    for (std::size_t c = 0; c < count; ++c) {
      out[i * pixel_stride + c * channel_stride] = tables[c][values[c]];
    }
  }
}

}  // namespace

Dims SampleShape(const Preprocess& preprocess, const Dims& model_input, const Sample& first) {
  if (!first.HasImage()) return TensorShape(model_input, first);
  if (model_input.size() != 4) {
    ThrowShape(fmt::format("the model's input {} is no batch of images, which has 4 dimensions",
                           DimsText(model_input)));
  }
  const Axes axes = AxesOf(preprocess.layout);
  CheckChannels(preprocess, model_input, axes);
  const ResizeStep& resize = preprocess.resize;
  Dims shape(3);
  shape[axes.channels] = ChannelCount(preprocess.channels);
  shape[axes.height] = ChooseSide(model_input[axes.height + 1], resize.height,
                                  preprocess.default_side, first.image.height, "height");
  shape[axes.width] = ChooseSide(model_input[axes.width + 1], resize.width, preprocess.default_side,
                                 first.image.width, "width");
  return shape;
}

void PreprocessSample(const Preprocess& preprocess, const Sample& sample, const Dims& shape,
                      std::span<float> out) {
  try {
    if (static_cast<std::size_t>(ElementCount(shape)) != out.size()) {
      ThrowShape(
          fmt::format("the shape {} does not have {} elements", DimsText(shape), out.size()));
    }
    if (sample.HasImage()) return FillImage(preprocess, sample.image, shape, out);
    if (sample.tensor.shape != shape) {
      ThrowShape(fmt::format("a tensor of shape {} instead of {}", DimsText(sample.tensor.shape),
                             DimsText(shape)));
    }
    internal::ToFloat(sample.tensor.dtype, sample.tensor.bytes, out);
  } catch (Error& error) {
    error.AddContext(fmt::format("preprocessing {}", Quote(sample.name)));
    throw;
  }
}

}  // namespace espalier
