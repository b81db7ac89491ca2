#pragma once

#include <memory>
#include <string_view>

#include "espalier/pattern/pattern.h"

namespace espalier {

/// Single weights, anywhere.
/// @return  Nothing if `spec` is not "unstructured".
std::unique_ptr<Pattern> ParseUnstructured(std::string_view spec);

/// Tiles of R output channels x C input channels at each kernel position, kept or dropped whole.
/// Tiles at the edge hold what is left; tiles never span convolution groups.
/// @return  Nothing if `spec` does not start with "block".
/// @throws Error  kInvalidArgument unless it is "block:RxC" with 1 <= R, C <= 1024, not both 1.
std::unique_ptr<Pattern> ParseBlock(std::string_view spec);

/// Whole output channels. Only the mask: the shapes stay, the channels become zero.
/// @return  Nothing if `spec` is not "channel".
std::unique_ptr<Pattern> ParseChannel(std::string_view spec);

}  // namespace espalier
