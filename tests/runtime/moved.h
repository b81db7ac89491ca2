#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <vector>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {

using Position = std::vector<std::int64_t>;

inline std::size_t FlatIndex(const Dims& dims, const Position& position) {
  std::int64_t flat = 0;
  for (std::size_t i = 0; i < dims.size(); ++i) flat = flat * dims[i] + position[i];
  return static_cast<std::size_t>(flat);
}

inline void ForEachPosition(const Dims& dims, const std::function<void(const Position&)>& body) {
  const std::int64_t count = ElementCount(dims);
  for (std::int64_t flat = 0; flat < count; ++flat) {
    Position position(dims.size());
    std::int64_t rest = flat;
    for (std::size_t i = dims.size(); i-- > 0;) {
      position[i] = rest % dims[i];
      rest /= dims[i];
    }
    body(position);
  }
}

// 0, 1, 2, ... in an unsigned type: every element says where it was.
template <typename T>
Tensor Counting(const Dims& dims) {
  std::vector<T> elements(static_cast<std::size_t>(ElementCount(dims)));
  std::iota(elements.begin(), elements.end(), T(0));
  return MakeTensor(dims, elements);
}

// Checks that element `position` of `out` is element source(position) of Counting<T>(from).
template <typename T>
void ExpectMoved(const Tensor& out, const Dims& want, const Dims& from,
                 const std::function<Position(const Position&)>& source) {
  ASSERT_EQ(out.dims(), want);
  const auto elements = ElementsOf<T>(out);
  ForEachPosition(want, [&](const Position& position) {
    ASSERT_EQ(elements[FlatIndex(want, position)],
              static_cast<T>(FlatIndex(from, source(position))));
  });
}

}  // namespace espalier::runtime
