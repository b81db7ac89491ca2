#include "runtime/ops/resize_passes.h"

#include <algorithm>
#include <cstring>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/normalize_parallel.h"

namespace espalier::runtime {
namespace {

// Whether position i takes i / factor.
bool IsWholeFactor(const ResizeAxis& axis, std::int64_t* factor) {
  if (axis.in == 0 || axis.out % axis.in != 0) return false;
  *factor = axis.out / axis.in;
  for (std::int64_t i = 0; i < axis.out; ++i) {
    if (axis.index[static_cast<std::size_t>(i)] != i / *factor) return false;
  }
  return true;
}

// One row along the last axis that changes, in elements of type T.
template <typename T>
void ExpandRow(const ResizeAxis& axis, std::int64_t factor, const T* x, T* y) {
  if (factor == 1) {
    std::copy_n(x, axis.in, y);
  } else if (factor == 2) {
    for (std::int64_t i = 0; i < axis.in; ++i) y[2 * i] = y[2 * i + 1] = x[i];
  } else if (factor > 0) {
    for (std::int64_t i = 0; i < axis.in; ++i) std::fill_n(y + i * factor, factor, x[i]);
  } else {
    for (std::int64_t i = 0; i < axis.out; ++i) y[i] = x[axis.index[static_cast<std::size_t>(i)]];
  }
}

void ExpandRow(const ResizeAxis& axis, std::int64_t factor, std::size_t bytes, const std::byte* x,
               std::byte* y) {
  if (bytes == 4) {
    return ExpandRow(axis, factor, reinterpret_cast<const std::uint32_t*>(x),
                     reinterpret_cast<std::uint32_t*>(y));
  }
  for (std::int64_t i = 0; i < axis.out; ++i) {
    std::memcpy(y + static_cast<std::size_t>(i) * bytes,
                x + static_cast<std::size_t>(axis.index[static_cast<std::size_t>(i)]) * bytes,
                bytes);
  }
}

}  // namespace

void ResizeNearest(int threads, std::span<const ResizeAxis> axes, std::size_t element_bytes,
                   const std::byte* x, std::byte* y) {
  // Axes behind the last one that changes are one block of bytes.
  while (axes.size() > 1 && axes.back().in == axes.back().out && axes.back().index.empty()) {
    element_bytes *= static_cast<std::size_t>(axes.back().in);
    axes = axes.first(axes.size() - 1);
  }
  const ResizeAxis& row = axes.back();
  std::int64_t factor = 0;
  if (row.index.empty()) {
    factor = 1;
    element_bytes *= static_cast<std::size_t>(row.in);
  } else if (!IsWholeFactor(row, &factor)) {
    factor = 0;
  }
  const bool copy = row.index.empty();
  const std::size_t in_bytes = (copy ? 1 : static_cast<std::size_t>(row.in)) * element_bytes;
  const std::size_t out_bytes = (copy ? 1 : static_cast<std::size_t>(row.out)) * element_bytes;
  const auto outer = axes.first(axes.size() - 1);
  std::int64_t rows = 1;
  for (const ResizeAxis& axis : outer) rows *= axis.out;
  const auto source_of = [&](std::int64_t at) {
    std::int64_t source = 0, stride = 1;
    for (std::size_t k = outer.size(); k > 0; --k) {
      const ResizeAxis& axis = outer[k - 1];
      const auto i = at % axis.out;
      source += (axis.index.empty() ? i : axis.index[static_cast<std::size_t>(i)]) * stride;
      at /= axis.out;
      stride *= axis.in;
    }
    return source;
  };
  const auto work = rows * static_cast<std::int64_t>(out_bytes / 4);
  ParallelRanges(threads, rows, work, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t last = -1;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t source = source_of(i);
      std::byte* to = y + static_cast<std::size_t>(i) * out_bytes;
      const std::byte* from = x + static_cast<std::size_t>(source) * in_bytes;
      if (source == last) {
        std::memcpy(to, to - out_bytes, out_bytes);
      } else if (copy) {
        std::memcpy(to, from, out_bytes);
      } else {
        ExpandRow(row, factor, element_bytes, from, to);
      }
      last = source;
    }
  });
}

namespace {

// The last axis: each output element is a short sum of its own.
template <typename T>
void ResizeRow(const ResizeAxis& axis, const T* x, T* y) {
  const std::int64_t* index = axis.index.data();
  const float* weight = axis.weight.data();
  if (axis.taps == 2) {
    for (std::int64_t i = 0; i < axis.out; ++i) {
      y[i] = static_cast<T>(weight[2 * i]) * x[index[2 * i]] +
             static_cast<T>(weight[2 * i + 1]) * x[index[2 * i + 1]];
    }
    return;
  }
  for (std::int64_t i = 0; i < axis.out; ++i) {
    T sum = 0;
    for (std::int64_t t = 0; t < axis.taps; ++t) sum += static_cast<T>(*weight++) * x[*index++];
    y[i] = sum;
  }
}

}  // namespace

template <typename T>
void ResizeAlong(int threads, const ResizeAxis& axis, std::int64_t outer, std::int64_t inner,
                 const T* x, T* y) {
  const std::int64_t work = outer * axis.out * inner * axis.taps;
  if (inner == 1) {
    ParallelRanges(threads, outer, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) ResizeRow(axis, x + o * axis.in, y + o * axis.out);
    });
    return;
  }
  ParallelRanges(threads, outer * axis.out, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t i = row % axis.out;
      const std::int64_t* index = axis.index.data() + i * axis.taps;
      const float* weight = axis.weight.data() + i * axis.taps;
      const T* from = x + row / axis.out * axis.in * inner;
      T* to = y + row * inner;
      const T first = static_cast<T>(weight[0]);
      const T* source = from + index[0] * inner;
      for (std::int64_t j = 0; j < inner; ++j) to[j] = first * source[j];
      for (std::int64_t t = 1; t < axis.taps; ++t) {
        const T factor = static_cast<T>(weight[t]);
        source = from + index[t] * inner;
        for (std::int64_t j = 0; j < inner; ++j) to[j] += factor * source[j];
      }
    }
  });
}

template void ResizeAlong(int, const ResizeAxis&, std::int64_t, std::int64_t, const float*, float*);
template void ResizeAlong(int, const ResizeAxis&, std::int64_t, std::int64_t, const double*,
                          double*);

}  // namespace espalier::runtime
