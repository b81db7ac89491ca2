#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/base/weight_view.h"
#include "runtime/op.h"

namespace espalier::runtime {

/// How a convolution's window moves, as its node says it. Vectors have one entry a spatial axis.
struct ConvAttributes {
  std::vector<std::int64_t> kernel;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> dilations;
  std::vector<std::int64_t> pads;  ///< All begins, then all ends; used if auto_pad is NOTSET.
  std::string auto_pad;
  std::int64_t group = 1;
};

/// @param weight  Dimensions of the weight, [K, C / group, kernel...].
/// @throws Error  kBadFile if an attribute has the wrong length or a value out of range;
///                kUnsupported for an auto_pad that is not known.
ConvAttributes ReadConvAttributes(const OpBuild& build, const Dims& weight);

/// The window on an input of a given size.
struct ConvGeometry {
  std::vector<std::int64_t> out;         ///< Output size by spatial axis.
  std::vector<std::int64_t> pads_begin;  ///< Resolved from auto_pad.
};

/// @param spatial  Input size by spatial axis.
/// @throws Error   kBadFile if the window does not fit the input even once.
ConvGeometry GeometryFor(const ConvAttributes& attributes,
                         const std::vector<std::int64_t>& spatial);

}  // namespace espalier::runtime
