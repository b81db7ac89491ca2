#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/base/weight_view.h"
#include "espalier/data/dataset.h"
#include "espalier/data/image.h"

namespace espalier {

/// Order of a pixel's channels in the model's input.
enum class ChannelOrder { kRgb, kBgr, kGray };

/// Order of an input's dimensions.
enum class InputLayout { kNchw, kNhwc };

/// What happens to an image's size.
struct ResizeStep {
  enum class Kind {
    kNone,   ///< Images must have the model's size.
    kExact,  ///< To width x height; the aspect ratio changes.
    kCrop,   ///< Shorter side to `shorter`, then the middle width x height.
  };
  Kind kind = Kind::kNone;
  int width = 0;    ///< 0: the model's.
  int height = 0;   ///< 0: the model's.
  int shorter = 0;  ///< For kCrop; 0: 8/7 of the target's shorter side, as 256 for 224.
  bool operator==(const ResizeStep&) const = default;
};

/// How an image becomes a model's input: resize, choose channels, then
/// (pixel * scale - mean[channel]) / std[channel] with pixels 0..255.
struct Preprocess {
  ResizeStep resize;
  ResizeFilter filter = ResizeFilter::kBilinear;
  /// Side of the input if neither the model nor `resize` says; 0: the first image's own size.
  int default_side = 0;
  ChannelOrder channels = ChannelOrder::kRgb;
  double scale = 1;
  std::vector<double> mean = {0};  ///< One for all channels, or one each, in the model's order.
  std::vector<double> std = {1};   ///< The same.
  InputLayout layout = InputLayout::kNchw;
  bool operator==(const Preprocess&) const = default;
};

/// A preprocessing that many models share.
struct PreprocessPreset {
  std::string_view name;
  std::string_view help;  ///< One line for the user.
  Preprocess value;
};

/// All presets, in one table.
std::span<const PreprocessPreset> PreprocessPresets();

/// @throws Error  kInvalidArgument with the list of names, for another name.
const Preprocess& FindPreprocess(std::string_view name);

/// Changes one field, by the name and text that a command line gives:
/// - "resize": `none`, `model`, `WxH`, `crop`, `crop:S` or `crop:S,WxH` (S the shorter side)
/// - "filter": `bilinear` or `antialias`
/// - "channels": `rgb`, `bgr` or `gray`
/// - "scale": a number or a quotient, as `1/255`
/// - "mean", "std": one number or quotient, or three with commas
/// - "layout": `nchw` or `nhwc`
/// @throws Error  kInvalidArgument, quoting the text and what it may be.
void OverridePreprocess(Preprocess& preprocess, std::string_view field, std::string_view text);

/// One line with every field: "crop 256 to 224x224 (antialias), rgb, /255, mean ..., std ...,
/// nchw".
std::string PreprocessText(const Preprocess& preprocess);

/// Dimensions of one preprocessed sample, without the batch's: [C, H, W] or [H, W, C] for images,
/// its own for a tensor. Dimensions that the model leaves open come from preprocess.resize, else
/// preprocess.default_side, else from `first`.
/// @param model_input  The model's input with the batch in front; unknown dimensions are negative.
/// @param first        Any sample of the data.
/// @throws Error  kShapeMismatch if the model's input is no image of these channels, in this layout
///                or size, or is not as long as the tensor; the text says which option to change.
Dims SampleShape(const Preprocess& preprocess, const Dims& model_input, const Sample& first);

/// Fills `out` with one preprocessed sample; a tensor is converted to float and copied as it
/// stands.
/// @param shape  From SampleShape().
/// @param out    Row-major, as many floats as `shape` has elements.
/// @throws Error  kShapeMismatch, naming the sample, if it does not fit `shape` and the
/// preprocessing
///                does not resize; kUnsupported for tensors of complex, string or 4- and 8-bit
///                floats.
void PreprocessSample(const Preprocess& preprocess, const Sample& sample, const Dims& shape,
                      std::span<float> out);

}  // namespace espalier
