#pragma once

#include <iostream>

#include "cli/options.h"

namespace espalier::cli {

/// Writes out what the result still has in memory.
/// @return  `status`, or kCouldNotWrite if that fails.
inline int FinishOutput(int status) {
  std::cout.flush();
  if (std::cout.good()) return status;
  std::cerr << "espalier: could not write the result to standard output\n";
  return status == kDone ? kCouldNotWrite : status;
}

}  // namespace espalier::cli
