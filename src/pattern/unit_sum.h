#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/pattern/pattern.h"

namespace espalier {

/// Adds up the scores of one unit, in double and in the order of the calls.
class UnitSum {
 public:
  explicit UnitSum(UnitNorm norm) : norm_(norm) {}

  void Add(float score) {
    sum_ += norm_ == UnitNorm::kSum ? double{score} : double{score} * double{score};
  }

  /// Rounded to float; a sum beyond float's range stays finite, because scores have to be.
  float Score() const {
    const double score = norm_ == UnitNorm::kSum ? sum_ : std::sqrt(sum_);
    return static_cast<float>(std::min(score, double{std::numeric_limits<float>::max()}));
  }

 private:
  UnitNorm norm_;
  double sum_ = 0;
};

}  // namespace espalier
