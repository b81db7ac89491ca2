#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

using Dims = std::vector<std::int64_t>;

/// "64x3x3x3"; "scalar" for no dimensions; unknown (negative) dimensions print as "?".
std::string DimsText(const Dims& dims);

/// Product of the dimensions; 1 for a scalar.
/// @throws Error  kBadFile if a dimension is negative or the product overflows 2^62.
std::int64_t ElementCount(const Dims& dims);

/// One axis of a view: `size` steps of `stride` elements.
struct Axis {
  std::int64_t size = 1;
  std::int64_t stride = 0;
  bool operator==(const Axis&) const = default;
};

/// Offsets in elements of all indices along some axes, the last axis fastest; {0} without axes.
std::vector<std::int64_t> OffsetsAlong(const std::vector<Axis>& axes);

/// How a layer reads its stored weight: which strides of the buffer are output channels, input
/// channels, kernel positions and independent groups. Every element belongs to exactly one
/// (group, output, input, position); sizes and strides count elements, the origin is element 0.
///
/// A Conv weight KCRS [64, 32, 3, 3] is groups {}, out {64, 288}, in {32, 9},
/// positions {{3, 3}, {3, 1}}. Sparsity groups run along `in`.
struct WeightView {
  std::vector<Axis> groups;     ///< Convolution groups, batch dimensions, RNN directions.
  Axis out;                     ///< K: output channels of one group.
  Axis in;                      ///< C: input channels of one group.
  std::vector<Axis> positions;  ///< R, S, ...: kernel positions; empty for linear layers.

  std::int64_t GroupCount() const;
  std::int64_t PositionCount() const;
  std::int64_t Rows() const { return GroupCount() * out.size; }  ///< Output channels in all.
  std::int64_t Elements() const { return Rows() * in.size * PositionCount(); }

  /// Whether the buffer is already [groups][out][positions][in], row-major.
  bool IsPacked() const;

  bool operator==(const WeightView&) const = default;
};

/// The packed order [groups][rows][positions][channels] in which patterns see a weight; channels
/// vary fastest, so that N:M groups are runs of neighbours.
struct PackedShape {
  std::int64_t groups = 1;
  std::int64_t rows = 1;       ///< Output channels of one group.
  std::int64_t positions = 1;  ///< Kernel positions.
  std::int64_t channels = 1;   ///< Input channels of one group.

  std::int64_t Elements() const { return groups * rows * positions * channels; }
  bool operator==(const PackedShape&) const = default;
};

/// The packed order of a whole weight.
PackedShape PackedShapeOf(const WeightView& view);

}  // namespace espalier
