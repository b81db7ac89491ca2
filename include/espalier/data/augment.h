#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "espalier/data/image.h"

namespace espalier {

/// Random changes of images in training, made on the pixels before PreprocessSample().
struct Augmentation {
  /// Black pixels around the image, from which a part of its old size is cut; 0: none.
  int crop_padding = 0;
  /// Mirrors every second image, left to right.
  bool flip = false;
  /// Cuts a random part of the image and scales it to the model's size, in place of the
  /// preprocessing's resize.
  bool resized_crop = false;
  /// Smallest part that resized_crop cuts, of the image's area.
  double least_area = 0.08;

  bool IsEmpty() const noexcept { return crop_padding == 0 && !flip && !resized_crop; }
  bool operator==(const Augmentation&) const = default;
};

/// Reads a list with commas: `none`, `crop:P` (padding in pixels), `flip`, `resized-crop` or
/// `resized-crop:A` (smallest area, over 0 to 1). "crop:4,flip" is the usual one for CIFAR,
/// "resized-crop,flip" for ImageNet.
/// @throws Error  kInvalidArgument, quoting the text and what it may be; also for a step that comes
///                twice, and for crop beside resized-crop.
Augmentation ParseAugmentation(std::string_view text);

/// The text that ParseAugmentation() takes.
std::string AugmentationText(const Augmentation& augmentation);

/// Random numbers of one image, from its place alone: they do not depend on threads or on other
/// images.
struct AugmentSeed {
  std::uint64_t seed = 0;   ///< Of the whole training.
  std::uint64_t epoch = 0;  ///< Passes over the data that came before.
  std::uint64_t index = 0;  ///< Of the sample in the data set.
};

/// What resized_crop scales to.
struct AugmentTarget {
  int width = 0;
  int height = 0;
  ResizeFilter filter = ResizeFilter::kBilinear;
};

/// A changed copy of an image: of the target's size with resized_crop, else of its own.
/// @throws Error  kInvalidArgument if the target has a side below 1 and resized_crop is on.
/// @source  torchvision 0.13, RandomCrop(padding), RandomHorizontalFlip and RandomResizedCrop
///          (aspect ratio 3/4 to 4/3, log-uniform, ten attempts, then the middle).
///          Differs: the stream of random numbers.
Image AugmentImage(const Augmentation& augmentation, const Image& image, const AugmentSeed& seed,
                   const AugmentTarget& target);

}  // namespace espalier
