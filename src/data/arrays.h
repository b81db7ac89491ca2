#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/byte_source.h"
#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier::internal {

/// Converts stored elements to float, one for each of `out`.
/// @throws Error  kUnsupported, naming the type, for complex and string types and floats of 8 and 4
///                bits; kShapeMismatch if `bytes` has another number of elements.
void ToFloat(DType dtype, std::span<const std::byte> bytes, std::span<float> out);

/// Converts stored elements to whole numbers.
/// @throws Error  kUnsupported as ToFloat(); kBadFile, with the index, for a fraction, NaN, or a
///                number beyond 2^53.
std::vector<std::int64_t> ToWhole(DType dtype, std::span<const std::byte> bytes);

/// A .npy array whose elements stay where they are.
struct ArraySource {
  DType dtype = DType::kUnknown;
  Dims shape;
  SharedBytes elements;  ///< Row-major, as many bytes as the shape needs.
};

/// Reads the header of a .npy.
/// @throws Error  as ReadNpy(); kUnsupported for Fortran order in more than one dimension.
ArraySource OpenArray(const SharedBytes& npy);

}  // namespace espalier::internal
