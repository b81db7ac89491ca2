#pragma once

#include <cstddef>

namespace espalier::internal {

/// Dimensions of a stored tensor. NumPy 2 and PyTorch stop at 64 too; a limit keeps a hostile shape
/// from taking memory.
constexpr std::size_t kMostDimensions = 64;

}  // namespace espalier::internal
