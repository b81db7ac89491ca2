#include "runtime/ops/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/dispatch.h"

namespace espalier::runtime {
namespace {

constexpr std::size_t kParallelBytes = std::size_t{1} << 18;

// A tile reads a cache line of float32 from each of 8 rows: as many lines as the ways of a first
// cache, so that rows a power of two apart stay in it together.
constexpr std::int64_t kTileRows = 16;
constexpr std::int64_t kTileColumns = 8;

template <typename T>
void CopyElement(const std::byte* from, std::byte* to) {
  std::memcpy(to, from, sizeof(T));  // may lie anywhere
}

// A block of 4 x 4 elements of 4 bytes, by 16-byte vectors.
void CrossBlock(std::ptrdiff_t from_step, std::ptrdiff_t to_step, const std::byte* from,
                std::byte* to) {
  using Vector [[gnu::vector_size(16)]] = std::uint32_t;
  Vector in[4];
  for (int j = 0; j < 4; ++j) std::memcpy(&in[j], from + j * from_step, sizeof(Vector));
  const Vector low01 = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
  const Vector high01 = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
  const Vector low23 = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
  const Vector high23 = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
  const Vector out[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                         __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                         __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                         __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) std::memcpy(to + i * to_step, &out[i], sizeof(Vector));
}

// to[i * to_step + j * sizeof(T)] = from[i * sizeof(T) + j * from_step] for a range of both.
template <typename T>
void CrossTile(std::int64_t rows, std::int64_t columns, std::ptrdiff_t from_step,
               std::ptrdiff_t to_step, const std::byte* from, std::byte* to) {
  constexpr auto kBytes = static_cast<std::ptrdiff_t>(sizeof(T));
  std::int64_t i = 0;
  if constexpr (sizeof(T) == 4) {
    for (; i + 4 <= rows && columns % 4 == 0; i += 4) {
      for (std::int64_t j = 0; j < columns; j += 4) {
        CrossBlock(from_step, to_step, from + i * kBytes + j * from_step,
                   to + i * to_step + j * kBytes);
      }
    }
  }
  for (; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      CopyElement<T>(from + i * kBytes + j * from_step, to + i * to_step + j * kBytes);
    }
  }
}

template <typename T>
void Cross(std::int64_t rows, std::int64_t columns, std::ptrdiff_t from_step,
           std::ptrdiff_t to_step, const std::byte* from, std::byte* to) {
  constexpr auto kBytes = static_cast<std::ptrdiff_t>(sizeof(T));
  for (std::int64_t i = 0; i < rows; i += kTileRows) {
    for (std::int64_t j = 0; j < columns; j += kTileColumns) {
      CrossTile<T>(std::min(kTileRows, rows - i), std::min(kTileColumns, columns - j), from_step,
                   to_step, from + i * kBytes + j * from_step, to + i * to_step + j * kBytes);
    }
  }
}

}  // namespace

void StridedCopy::Reset(std::size_t element_bytes) {
  element_bytes_ = element_bytes;
  depth_ = 0;
  empty_ = false;
}

void StridedCopy::Add(std::int64_t size, std::int64_t from_step, std::int64_t to_step) {
  if (size <= 0) empty_ = true;
  if (size == 1) return;
  const auto bytes = static_cast<std::ptrdiff_t>(element_bytes_);
  const Loop loop{size, from_step * bytes, to_step * bytes};
  if (depth_ > 0) {
    Loop& outer = loops_[depth_ - 1];
    if (outer.from_step == loop.from_step * size && outer.to_step == loop.to_step * size) {
      outer = {outer.size * size, loop.from_step, loop.to_step};
      return;
    }
  }
  if (depth_ == kMaxLoops) {
    throw Error(ErrorCode::kUnsupported, fmt::format("over {} runs of axes", kMaxLoops));
  }
  loops_[depth_++] = loop;
}

// Runs that are as long as an element of some size become one; a loop along the source's elements
// comes to the last place but one.
void StridedCopy::Finish() {
  while (depth_ > 0) {
    const Loop& inner = loops_[depth_ - 1];
    const auto bytes = static_cast<std::ptrdiff_t>(element_bytes_);
    const std::size_t run = element_bytes_ * static_cast<std::size_t>(inner.size);
    const bool is_size = run == 2 || run == 4 || run == 8 || run == 16;
    if (inner.from_step != bytes || inner.to_step != bytes || !is_size) break;
    element_bytes_ = run;
    --depth_;
  }
  crossed_ = false;
  if (depth_ < 2) return;
  const auto bytes = static_cast<std::ptrdiff_t>(element_bytes_);
  const Loop& inner = loops_[depth_ - 1];
  if (inner.from_step == bytes || inner.from_step == 0 || inner.to_step != bytes) return;
  for (std::size_t l = 0; l + 1 < depth_; ++l) {
    if (loops_[l].from_step != bytes) continue;
    std::rotate(loops_.begin() + static_cast<std::ptrdiff_t>(l),
                loops_.begin() + static_cast<std::ptrdiff_t>(l) + 1,
                loops_.begin() + static_cast<std::ptrdiff_t>(depth_) - 1);
    crossed_ = true;
    return;
  }
}

template <typename T>
void StridedCopy::RunLoops(const std::array<Loop, kMaxLoops>& loops, const std::byte* from,
                           std::byte* to) const {
  const std::size_t kernel_loops = std::min<std::size_t>(depth_, crossed_ ? 2 : 1);
  const std::size_t outer = depth_ - kernel_loops;
  const Loop inner = depth_ > 0 ? loops[depth_ - 1] : Loop();
  constexpr auto kBytes = static_cast<std::ptrdiff_t>(sizeof(T));
  const bool contiguous = inner.from_step == kBytes && inner.to_step == kBytes;
  std::array<std::int64_t, kMaxLoops> index{};
  while (true) {
    if (crossed_) {
      const Loop& row = loops[depth_ - 2];
      Cross<T>(row.size, inner.size, inner.from_step, row.to_step, from, to);
    } else if (contiguous) {
      std::memcpy(to, from, sizeof(T) * static_cast<std::size_t>(inner.size));
    } else {
      for (std::int64_t i = 0; i < inner.size; ++i) {
        CopyElement<T>(from + i * inner.from_step, to + i * inner.to_step);
      }
    }
    std::size_t l = outer;
    while (l > 0) {
      const Loop& loop = loops[l - 1];
      from += loop.from_step;
      to += loop.to_step;
      if (++index[l - 1] < loop.size) break;
      index[l - 1] = 0;
      from -= loop.size * loop.from_step;
      to -= loop.size * loop.to_step;
      --l;
    }
    if (l == 0) return;
  }
}

void StridedCopy::RunPart(std::int64_t outer_begin, std::int64_t outer_end, const std::byte* from,
                          std::byte* to) const {
  std::array<Loop, kMaxLoops> loops = loops_;
  if (depth_ > 0) {
    from += outer_begin * loops[0].from_step;
    to += outer_begin * loops[0].to_step;
    loops[0].size = outer_end - outer_begin;
  }
  DispatchSize(element_bytes_, [&]<typename T>() { RunLoops<T>(loops, from, to); });
}

void StridedCopy::Run(int threads, const std::byte* from, std::byte* to) {
  if (empty_) return;
  Finish();
  std::size_t bytes = element_bytes_;
  for (std::size_t l = 0; l < depth_; ++l) bytes *= static_cast<std::size_t>(loops_[l].size);
  const std::int64_t outer = depth_ > 0 ? loops_[0].size : 1;
  const std::int64_t parts = std::min<std::int64_t>(threads, outer);
  if (parts <= 1 || bytes < kParallelBytes) return RunPart(0, outer, from, to);
  ThreadPool::Shared().Run(threads, static_cast<std::size_t>(parts), [&](std::size_t i) {
    const auto part = static_cast<std::int64_t>(i);
    const std::int64_t even = outer / parts;
    RunPart(part * even, part + 1 == parts ? outer : (part + 1) * even, from, to);
  });
}

}  // namespace espalier::runtime
