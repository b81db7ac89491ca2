#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "espalier/graph/tensor.h"

namespace espalier {

/// How far two values of the same output are apart.
struct OutputDifference {
  std::string name;
  double max_abs_diff = 0;  ///< Largest |a - b|; infinity where one is NaN and the other is not.
  double max_abs = 0;       ///< Largest |a|.
  std::size_t at = 0;       ///< Element of the largest difference, row-major.

  /// max_abs_diff / max_abs; 0 if there is no difference.
  double Relative() const;
};

/// Compares the outputs of two runs, by name; outputs whose names differ are compared in order if
/// both runs have the same number.
/// @param first_order, second_order  Names of the outputs in each model's order.
/// @throws Error  kShapeMismatch if there is no counterpart, or type or shape differ.
/// @cost   One pass.
std::vector<OutputDifference> CompareOutputs(const std::map<std::string, Tensor>& first,
                                             const std::map<std::string, Tensor>& second,
                                             const std::vector<std::string>& first_order,
                                             const std::vector<std::string>& second_order);

}  // namespace espalier
