// The table of presets, and a preprocessing as text, both ways.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/data/preprocess.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Quote;
using Kind = ResizeStep::Kind;

constexpr int kMostSide = 65'500;

std::vector<PreprocessPreset> MakePresets() {
  constexpr double kUnit = 1.0 / 255;
  const std::vector<double> mean = {0.485, 0.456, 0.406};
  const std::vector<double> std = {0.229, 0.224, 0.225};
  const auto anti = ResizeFilter::kAntialias;
  const auto plain = ResizeFilter::kBilinear;
  const auto rgb = ChannelOrder::kRgb;
  const auto nchw = InputLayout::kNchw;
  const ResizeStep crop{Kind::kCrop, 0, 0, 0};
  const ResizeStep exact{Kind::kExact, 0, 0, 0};
  const ResizeStep none{};
  return {
      {"imagenet",
       "torchvision: shorter side 256, crop 224, RGB 0..1, ImageNet's mean and std",
       {crop, anti, 224, rgb, kUnit, mean, std, nchw}},
      {"imagenet-caffe",
       "Caffe: whole image to the model's size, BGR 0..255 minus 104, 117, 123",
       {exact, plain, 224, ChannelOrder::kBgr, 1, {104, 117, 123}, {1}, nchw}},
      {"imagenet-tf",
       "TensorFlow: shorter side 256, crop 224, RGB -1..1",
       {crop, anti, 224, rgb, 1 / 127.5, {1}, {1}, nchw}},
      {"cifar10",
       "RGB 0..1 with ImageNet's mean and std, not resized",
       {none, plain, 0, rgb, kUnit, mean, std, nchw}},
      {"mnist",
       "gray 0..1 with mean 0.1307 and std 0.3081, not resized",
       {none, plain, 0, ChannelOrder::kGray, kUnit, {0.1307}, {0.3081}, nchw}},
      {"unit",
       "RGB 0..1, whole image to the model's size",
       {exact, plain, 0, rgb, kUnit, {0}, {1}, nchw}},
      {"raw",
       "RGB 0..255, whole image to the model's size",
       {exact, plain, 0, rgb, 1, {0}, {1}, nchw}},
  };
}

[[noreturn]] void Throw(std::string_view field, std::string_view text, std::string_view wanted) {
  throw Error(ErrorCode::kInvalidArgument, fmt::format("{} {}: {}", field, Quote(text), wanted));
}

// Names of an enum's values, in their order.
using Names = std::span<const std::string_view>;
constexpr std::array<std::string_view, 2> kFilters = {"bilinear", "antialias"};
constexpr std::array<std::string_view, 3> kChannels = {"rgb", "bgr", "gray"};
constexpr std::array<std::string_view, 2> kLayouts = {"nchw", "nhwc"};

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

template <typename Enum>
void SetName(std::string_view field, std::string_view text, Names names, Enum& value) {
  const auto found = std::ranges::find(names, Lower(text));
  if (found == names.end()) {
    Throw(field, text, fmt::format("choose one of {}", fmt::join(names, ", ")));
  }
  value = static_cast<Enum>(found - names.begin());
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

template <typename Number>
std::optional<Number> ParseWhole(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A finite number or a quotient of two.
std::optional<double> ParseQuotient(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, '/');
  if (parts.size() > 2) return std::nullopt;
  const auto top = ParseWhole<double>(parts[0]);
  const auto bottom = parts.size() == 2 ? ParseWhole<double>(parts[1]) : 1.0;
  if (!top || !bottom || !std::isfinite(*top / *bottom)) return std::nullopt;
  return *top / *bottom;
}

std::vector<double> ParseChannelValues(std::string_view field, std::string_view text) {
  std::vector<double> values;
  for (const std::string_view part : Split(text, ',')) {
    const auto value = ParseQuotient(part);
    if (!value) {
      Throw(field, text, "give one number or three with commas, as 0.5 or 0.485,0.456,0.406");
    }
    values.push_back(*value);
  }
  if (values.size() != 1 && values.size() != 3) {
    Throw(field, text,
          fmt::format("{} numbers; give one, or one for each of three channels", values.size()));
  }
  return values;
}

int ParseSide(std::string_view field, std::string_view whole, std::string_view text) {
  const auto side = ParseWhole<int>(text);
  if (!side || *side < 1 || *side > kMostSide) {
    Throw(field, whole,
          fmt::format("{} is no number of pixels from 1 to {}; give none, model, WIDTHxHEIGHT, "
                      "crop, crop:SHORTER or crop:SHORTER,WIDTHxHEIGHT",
                      Quote(text), kMostSide));
  }
  return *side;
}

ResizeStep ParseResize(std::string_view field, std::string_view text) {
  const std::string lower = Lower(text);
  if (lower == "none") return {};
  if (lower == "model") return {Kind::kExact, 0, 0, 0};
  if (lower == "crop") return {Kind::kCrop, 0, 0, 0};
  std::string_view rest = lower;
  ResizeStep step{Kind::kExact, 0, 0, 0};
  if (rest.starts_with("crop:")) {
    rest.remove_prefix(5);
    step.kind = Kind::kCrop;
    const std::size_t comma = std::min(rest.size(), rest.find(','));
    step.shorter = ParseSide(field, text, rest.substr(0, comma));
    if (comma == rest.size()) return step;
    rest.remove_prefix(comma + 1);
  }
  const std::size_t cross = std::min(rest.size(), rest.find('x'));
  step.width = ParseSide(field, text, rest.substr(0, cross));
  step.height = ParseSide(field, text, rest.substr(std::min(rest.size(), cross + 1)));
  if (step.kind == Kind::kCrop && std::max(step.width, step.height) > step.shorter) {
    Throw(field, text, "the crop is larger than the shorter side");
  }
  return step;
}

std::string SizeText(const ResizeStep& step) {
  return step.width == 0 ? "the model's size" : fmt::format("{}x{}", step.width, step.height);
}

std::string ResizeText(const ResizeStep& step) {
  switch (step.kind) {
    case Kind::kNone:
      return "no resize";
    case Kind::kExact:
      return fmt::format("resize to {}", SizeText(step));
    case Kind::kCrop:
      break;
  }
  return fmt::format("shorter side to {}, crop to {}",
                     step.shorter == 0 ? "8/7" : fmt::to_string(step.shorter), SizeText(step));
}

}  // namespace

std::span<const PreprocessPreset> PreprocessPresets() {
  static const std::vector<PreprocessPreset> presets = MakePresets();
  return presets;
}

const Preprocess& FindPreprocess(std::string_view name) {
  std::vector<std::string_view> names;
  for (const PreprocessPreset& preset : PreprocessPresets()) {
    if (preset.name == name) return preset.value;
    names.push_back(preset.name);
  }
  throw Error(ErrorCode::kInvalidArgument, fmt::format("no preprocessing {}; there are {}",
                                                       Quote(name), fmt::join(names, ", ")));
}

void OverridePreprocess(Preprocess& preprocess, std::string_view field, std::string_view text) {
  if (field == "resize") {
    preprocess.resize = ParseResize(field, text);
  } else if (field == "filter") {
    SetName(field, text, kFilters, preprocess.filter);
  } else if (field == "channels") {
    SetName(field, text, kChannels, preprocess.channels);
  } else if (field == "layout") {
    SetName(field, text, kLayouts, preprocess.layout);
  } else if (field == "mean") {
    preprocess.mean = ParseChannelValues(field, text);
  } else if (field == "std") {
    std::vector<double> values = ParseChannelValues(field, text);
    if (std::ranges::any_of(values, [](double value) { return value <= 0; })) {
      Throw(field, text, "a standard deviation has to be above 0");
    }
    preprocess.std = std::move(values);
  } else if (field == "scale") {
    const auto scale = ParseQuotient(text);
    if (!scale || *scale == 0) {
      Throw(field, text, "give a number other than 0, or a quotient as 1/255");
    }
    preprocess.scale = *scale;
  } else {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("no field {}; there are resize, filter, channels, scale, mean, std, "
                            "layout",
                            Quote(field)));
  }
}

std::string PreprocessText(const Preprocess& preprocess) {
  std::string text = ResizeText(preprocess.resize);
  if (preprocess.resize.kind != Kind::kNone) {
    text += fmt::format(" ({})", kFilters[static_cast<std::size_t>(preprocess.filter)]);
  }
  return text + fmt::format(", {}, scale {:.6g}, mean {:.6g}, std {:.6g}, {}",
                            kChannels[static_cast<std::size_t>(preprocess.channels)],
                            preprocess.scale, fmt::join(preprocess.mean, ","),
                            fmt::join(preprocess.std, ","),
                            kLayouts[static_cast<std::size_t>(preprocess.layout)]);
}

}  // namespace espalier
