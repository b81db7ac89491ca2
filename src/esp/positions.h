#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "esp/packing.h"
#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier::internal {

/// The units of a tensor that have to be stored, and the ways to write down which they are.
class PositionSet {
 public:
  PositionSet(std::vector<std::uint64_t> bitmap, std::size_t units);

  std::size_t units() const noexcept { return units_; }
  std::size_t count() const noexcept { return count_; }
  const std::vector<std::uint64_t>& bitmap() const noexcept { return bitmap_; }
  bool Has(std::size_t i) const noexcept { return (bitmap_[i / 64] >> i % 64 & 1) != 0; }

  /// Calls visit(i) for each, ascending.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    for (std::size_t w = 0; w < bitmap_.size(); ++w) {
      for (std::uint64_t word = bitmap_[w]; word != 0; word &= word - 1) {
        visit(w * 64 + static_cast<std::size_t>(std::countr_zero(word)));
      }
    }
  }

  /// How many codes kGaps needs, for each width from 0 to kMostGapBits; 0 and 1 are not used.
  std::vector<std::uint64_t> GapCodeCounts() const;
  std::vector<std::uint64_t> GapCodes(std::uint32_t width) const;

  /// The most positions in one group, where groups are as in Packing.
  std::uint32_t MostInGroup(std::uint32_t group, std::uint64_t inner) const;
  /// With further positions, so that each group has exactly packing.kept.
  PositionSet FilledUp(const Packing& packing) const;
  /// The codes of kChoice; each group has packing.kept positions.
  std::vector<std::uint64_t> ChoiceCodes(const Packing& packing) const;

 private:
  std::vector<std::uint64_t> bitmap_;
  std::size_t units_ = 0;
  std::size_t count_ = 0;
};

/// Sets encoding, count and shape of the smallest encoding; packing->values is given.
void ChoosePacking(const PositionSet& positions, DType dtype, const Dims& dims, Packing* packing);

}  // namespace espalier::internal
