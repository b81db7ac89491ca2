#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "espalier/base/random.h"
#include "tests/runtime/test_context.h"

namespace espalier::runtime {

using Ints = std::vector<std::int64_t>;

inline Tensor Index(Dims dims, const Ints& elements) {
  return MakeTensor(std::move(dims), elements);
}

/// In [-bound, bound).
inline Tensor RandomIndices(const Dims& dims, std::uint64_t seed, std::int64_t bound) {
  Ints elements(static_cast<std::size_t>(ElementCount(dims)));
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const auto number = static_cast<std::int64_t>(RandomAt(seed, i) >> 1);
    elements[i] = number % (2 * bound) - bound;
  }
  return Index(dims, elements);
}

/// Coordinates of the element `index` of a row-major tensor.
inline std::vector<std::size_t> Coordinates(const Dims& dims, std::size_t index) {
  std::vector<std::size_t> at(dims.size());
  for (std::size_t d = dims.size(); d-- > 0;) {
    at[d] = index % static_cast<std::size_t>(dims[d]);
    index /= static_cast<std::size_t>(dims[d]);
  }
  return at;
}

inline std::size_t Place(const Dims& dims, const std::vector<std::size_t>& at) {
  std::size_t index = 0;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    index = index * static_cast<std::size_t>(dims[d]) + at[d];
  }
  return index;
}

inline std::size_t FromEnd(std::int64_t index, std::int64_t size) {
  return static_cast<std::size_t>(index < 0 ? index + size : index);
}

/// Rows of an axis, with ties: numbers 0..6.
inline Tensor FewNumbers(const Dims& dims) {
  auto elements = ElementsOf<float>(RandomTensor(dims, 10, 0, 7));
  for (float& x : elements) x = std::floor(x);
  return MakeTensor(dims, elements);
}

}  // namespace espalier::runtime
