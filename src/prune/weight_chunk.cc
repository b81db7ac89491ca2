#include "prune/weight_chunk.h"

#include <algorithm>
#include <cstring>

namespace espalier {
namespace {

// Bytes a chunk aims at: half of a usual 512 KB L2. The whole program takes the same time
// from 64 KB to 4 MB (docs/benchmarks.md), so the size is one that keeps memory low.
constexpr std::int64_t kChunkBytes = 256 * 1024;

std::int64_t RowElements(const WeightView& view) { return view.in.size * view.PositionCount(); }

// Whether rows are runs of RowElements() neighbours, one after the other.
bool HasContiguousRows(const WeightView& view) {
  std::int64_t expected = RowElements(view);
  const auto follows = [&expected](const Axis& axis) {
    const bool ok = axis.size == 1 || axis.stride == expected;
    expected *= axis.size;
    return ok;
  };
  bool ok = follows(view.out);
  for (auto it = view.groups.rbegin(); it != view.groups.rend(); ++it) ok = follows(*it) && ok;
  std::vector<Axis> inner = view.positions;
  inner.push_back(view.in);
  std::erase_if(inner, [](const Axis& axis) { return axis.size == 1; });
  std::ranges::sort(inner, {}, &Axis::stride);
  std::int64_t dense = 1;
  for (const Axis& axis : inner) {
    ok = ok && axis.stride == dense;
    dense *= axis.size;
  }
  return ok;
}

std::vector<ChunkRange> Split(std::int64_t begin, std::int64_t end, std::int64_t step) {
  std::vector<ChunkRange> ranges;
  for (; begin < end; begin += step) ranges.push_back({begin, std::min(begin + step, end)});
  return ranges;
}

// The offsets of a list of axes, in row-major order.
std::vector<std::int64_t> Offsets(const std::vector<Axis>& axes) {
  std::vector<std::int64_t> offsets = {0};
  for (const Axis& axis : axes) {
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * axis.size);
    for (const std::int64_t offset : offsets) {
      for (std::int64_t i = 0; i < axis.size; ++i) next.push_back(offset + i * axis.stride);
    }
    offsets = std::move(next);
  }
  return offsets;
}

// Offset of a row over all groups.
std::int64_t RowOffset(const WeightView& view, std::int64_t row) {
  std::int64_t offset = row % view.out.size * view.out.stride;
  std::int64_t group = row / view.out.size;
  for (auto it = view.groups.rbegin(); it != view.groups.rend(); group /= it++->size) {
    offset += group % it->size * it->stride;
  }
  return offset;
}

enum class Direction { kPack, kUnpack };

// Tiles of 32 x 32 elements: where rows lie next to each other in the store (MatMul's [C, K]), the
// cache lines of a tile are used whole.
constexpr std::int64_t kTile = 32;

// Copies between stored and packed order; `stored` points at what is row `first_row`'s place.
template <class T, Direction direction>
void CopyRows(const WeightView& view, std::int64_t first_row, std::int64_t rows, T* stored,
              T* packed) {
  const std::vector<std::int64_t> positions = Offsets(view.positions);
  const std::int64_t base = RowOffset(view, first_row);
  const std::int64_t row_elements = RowElements(view);
  const auto copy_run = [&](std::int64_t row, std::size_t p, std::int64_t begin, std::int64_t end) {
    T* from = stored + RowOffset(view, first_row + row) - base + positions[p];
    T* to = packed + row * row_elements + static_cast<std::int64_t>(p) * view.in.size;
    for (std::int64_t c = begin; c < end; ++c) {
      if constexpr (direction == Direction::kPack) {
        to[c] = from[c * view.in.stride];
      } else {
        from[c * view.in.stride] = to[c];
      }
    }
  };
  for (std::int64_t row = 0; row < rows; row += kTile) {
    for (std::int64_t c = 0; c < view.in.size; c += kTile) {
      for (std::int64_t r = row; r < std::min(row + kTile, rows); ++r) {
        for (std::size_t p = 0; p < positions.size(); ++p) {
          copy_run(r, p, c, std::min(c + kTile, view.in.size));
        }
      }
    }
  }
}

template <Direction direction>
void CopyRows(const Layer& layer, WeightChunk* chunk) {
  const std::int64_t rows = chunk->shape.groups * chunk->shape.rows;
  const auto copy = [&]<class T>(T) {
    CopyRows<T, direction>(layer.view, chunk->first_row, rows,
                           reinterpret_cast<T*>(chunk->stored.data()),
                           reinterpret_cast<T*>(chunk->bytes.data()));
  };
  switch (DTypeBits(layer.dtype)) {
    case 8:
      return copy(std::uint8_t{});
    case 16:
      return copy(std::uint16_t{});
    case 32:
      return copy(std::uint32_t{});
    default:
      return copy(std::uint64_t{});
  }
}

}  // namespace

ChunkPlan PlanChunks(const Layer& layer, const Pattern& pattern) {
  const WeightView& view = layer.view;
  const auto element_bytes = static_cast<std::int64_t>(DTypeBits(layer.dtype) / 8);
  const std::int64_t target = kChunkBytes / element_bytes;
  ChunkPlan plan;
  const bool one_scale =
      !layer.quantization || layer.quantization->along == Quantization::Along::kTensor;
  if (pattern.IsElementwise() && one_scale) {
    plan.flat = true;
    plan.ranges = Split(0, view.Elements(), target);
    return plan;
  }
  if (!HasContiguousRows(view)) {
    plan.whole = true;
    plan.ranges = {{0, view.Rows()}};
    return plan;
  }
  const std::int64_t row = RowElements(view);
  if (view.out.size * row <= target) {  // whole groups
    const std::int64_t groups = std::max<std::int64_t>(1, target / (view.out.size * row));
    plan.ranges = Split(0, view.Rows(), groups * view.out.size);
    return plan;
  }
  const std::int64_t band = pattern.RowsPerBand();
  const std::int64_t bands = std::max<std::int64_t>(1, target / (band * row));
  for (std::int64_t group = 0; group < view.GroupCount(); ++group) {
    const std::int64_t first = group * view.out.size;
    const auto ranges = Split(first, first + view.out.size, bands * band);
    plan.ranges.insert(plan.ranges.end(), ranges.begin(), ranges.end());
  }
  return plan;
}

void ReadChunk(const WeightStore& store, std::size_t index, const Layer& layer,
               const ChunkPlan& plan, const ChunkRange& range, WeightChunk* chunk) {
  const std::int64_t size = range.end - range.begin;
  const std::int64_t row = RowElements(layer.view);
  chunk->flat = plan.flat;
  chunk->first_row = plan.flat ? 0 : range.begin;
  chunk->first_element = plan.flat ? range.begin : range.begin * row;
  if (plan.flat) {
    chunk->shape = {1, 1, 1, size};
  } else {
    const std::int64_t rows = std::min(size, layer.view.out.size);
    chunk->shape = {size / rows, rows, layer.view.PositionCount(), layer.view.in.size};
  }
  chunk->bytes.resize(chunk->elements() * DTypeBits(layer.dtype) / 8);
  if (plan.flat || layer.view.IsPacked()) {
    store.Read(index, chunk->first_element, chunk->bytes);
    return;
  }
  chunk->stored.resize(chunk->bytes.size());
  store.Read(index, chunk->first_element, chunk->stored);
  CopyRows<Direction::kPack>(layer, chunk);
}

void WriteChunk(WeightStore& store, std::size_t index, const ChunkPlan& plan, WeightChunk* chunk) {
  const Layer& layer = store.layers()[index];
  if (plan.flat || layer.view.IsPacked()) {
    store.Write(index, chunk->first_element, chunk->bytes);
    return;
  }
  CopyRows<Direction::kUnpack>(layer, chunk);
  store.Write(index, chunk->first_element, chunk->stored);
}

}  // namespace espalier
