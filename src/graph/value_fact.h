#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier::shapes {

/// Dimensions of a value; nothing if the rank is unknown, kUnknownDim for a dimension that is.
using Shape = std::optional<Dims>;

inline constexpr std::int64_t kUnknownDim = -1;
/// An integer element that is not known. Not INT64_MIN, which files use as "from the end" in Slice.
inline constexpr std::int64_t kUnknownInt = std::numeric_limits<std::int64_t>::min() + 0x5eed5eed;

inline constexpr std::size_t kMaxRank = 64;
inline constexpr std::int64_t kMaxDim = std::int64_t{1} << 40;
/// The largest tensor that is followed by value; shapes, axes and pads have under 100 elements.
inline constexpr std::int64_t kMaxElements = 4096;

/// A tensor whose elements are followed: `ints` for integers and bool, `floats` for float32 and
/// float64. Unknown elements are kUnknownInt and NaN.
struct SmallTensor {
  DType dtype = DType::kUnknown;
  Dims dims;
  std::vector<std::int64_t> ints;
  std::vector<double> floats;

  bool IsFloat() const { return dtype == DType::kFloat32 || dtype == DType::kFloat64; }
  std::size_t size() const { return IsFloat() ? floats.size() : ints.size(); }
};

/// What is known of a value.
struct ValueFact {
  Shape dims;
  std::shared_ptr<const SmallTensor> elements;  // null if they are not followed
};

/// a + b; unknown if either is, or if the sum is negative or too large.
inline std::int64_t AddDims(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum) || sum > kMaxDim) return kUnknownDim;
  return sum;
}

/// a * b, unknown as above.
inline std::int64_t MulDims(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product) || product > kMaxDim) {
    return kUnknownDim;
  }
  return product;
}

/// Product of the dimensions; nothing if one is unknown or the product overflows.
inline std::optional<std::int64_t> KnownElements(const Dims& dims) {
  std::int64_t product = 1;
  for (const std::int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) return std::nullopt;
  }
  return product;
}

}  // namespace espalier::shapes
