#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "espalier/base/weight_view.h"

namespace espalier {

/// The first place where a weight breaks a pattern, in packed coordinates.
struct Violation {
  std::int64_t row = 0;       ///< Output channel, counted over all groups of the shape.
  std::int64_t position = 0;  ///< Kernel position, row-major.
  std::int64_t channel = 0;   ///< First input channel of the bad group.
  std::int64_t nonzeros = 0;  ///< Nonzeros found in the group.
};

/// N of M: what fast kernels need to know of a pattern.
struct NmGroup {
  std::int64_t n = 0;  ///< Kept.
  std::int64_t m = 0;  ///< Out of.
};

/// How the scores of a unit's weights become the unit's score.
enum class UnitNorm {
  kSum,             ///< Sum of the scores (L1).
  kRootSumSquares,  ///< Square root of the sum of squares (L2).
};

/// Which positions of a weight may be zero. Derive from it for a pattern of your own.
///
/// A pattern sees a weight in packed order [groups][rows][positions][channels] (PackedShape), or a
/// run of whole rows of it: either rows of one group, in multiples of RowsPerBand() counted from
/// the group's first row, or whole groups. It keeps no state and is safe to use from several
/// threads.
///
/// There are two kinds. A per-group pattern (2:4) has its ratio built in and decides each small
/// group by itself: override MaskGroups and FindViolation. A ranked pattern (blocks) is made of
/// units that are kept or dropped whole; the caller ranks units over a layer or the whole network:
/// override UnitCount, ScoreUnits and ExpandUnits.
class Pattern {
 public:
  enum class Kind { kPerGroup, kRanked };

  virtual ~Pattern() = default;

  virtual Kind kind() const = 0;

  /// The spelling that makes this pattern again: "2:4", "block:4x1".
  virtual std::string Name() const = 0;

  /// Rows that have to be seen together; 1 unless groups or units span rows.
  virtual std::int64_t RowsPerBand() const { return 1; }

  /// Whether every weight is a unit of its own, so that order and layout do not matter.
  virtual bool IsElementwise() const { return false; }

  /// Set for the N:M patterns.
  virtual std::optional<NmGroup> Nm() const { return std::nullopt; }

  /// Whether MaskGroups is exactly the best of the 90 masks of each 4x4 tile.
  virtual bool IsTransposable24() const { return false; }

  /// Per-group: chooses what to keep.
  /// @param scores  shape.Elements() scores, finite, >= 0; a larger score is kept first.
  /// @param keep    Receives 1 (keep) or 0 for each.
  virtual void MaskGroups(std::span<const float> scores, const PackedShape& shape,
                          std::span<std::uint8_t> keep) const;

  /// Per-group: the first place with too many nonzeros.
  /// @param nonzero  shape.Elements() values, 1 where the weight is not zero.
  virtual std::optional<Violation> FindViolation(std::span<const std::uint8_t> nonzero,
                                                 const PackedShape& shape) const;

  /// Ranked: how many units `shape` has.
  virtual std::int64_t UnitCount(const PackedShape& shape) const;

  /// Ranked: how many weights the largest unit of `shape` has.
  virtual std::int64_t UnitSize(const PackedShape& shape) const;

  /// Ranked: the score of each unit, from the scores of its weights.
  /// @param unit_scores  Receives UnitCount(shape) scores. Units are numbered along rows, then
  /// along
  ///                     positions, then along channels; among equal scores the lower number stays.
  virtual void ScoreUnits(std::span<const float> scores, const PackedShape& shape, UnitNorm norm,
                          std::span<float> unit_scores) const;

  /// Ranked: spreads the choice of units over their weights.
  virtual void ExpandUnits(std::span<const std::uint8_t> keep_unit, const PackedShape& shape,
                           std::span<std::uint8_t> keep) const;
};

}  // namespace espalier
