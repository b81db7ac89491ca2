#pragma once

#include <fmt/format.h>

#include <cmath>

#include "espalier/base/error.h"

namespace espalier::train {

/// @param name    Of the option, as "the momentum".
/// @param fits    Whether `value` is in its range.
/// @param range   The range in words, as "above 0".
/// @throws Error  kInvalidArgument if it is not, or is not finite.
inline void CheckRange(const char* name, double value, bool fits, const char* range) {
  if (std::isfinite(value) && fits) return;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("{} is {}; it has to be {}", name, value, range));
}

}  // namespace espalier::train
