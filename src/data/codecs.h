#pragma once

#include <cstddef>
#include <span>

#include "espalier/data/image.h"

namespace espalier::internal {

/// @throws Error  as DecodeImage().
Image DecodeJpeg(std::span<const std::byte> bytes, const ImageLimits& limits);
Image DecodePng(std::span<const std::byte> bytes, const ImageLimits& limits);

/// Makes an image of width x height x channels, pixels 0.
/// @param most_per_byte  Pixels that a byte of the format can stand for at most.
/// @throws Error  kBadFile if the size is over the limits, or more than `file_bytes` can hold.
Image MakeImage(std::int64_t width, std::int64_t height, int channels, std::size_t file_bytes,
                std::int64_t most_per_byte, const ImageLimits& limits);

}  // namespace espalier::internal
