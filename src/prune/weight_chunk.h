#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "espalier/base/weight_view.h"
#include "espalier/pattern/pattern.h"
#include "espalier/prune/weight_store.h"

namespace espalier {

/// A part of one layer that is worked on at once: [begin, end) counts rows, or elements if the plan
/// is flat.
struct ChunkRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// How a layer is cut into chunks. Depends on the layer and the pattern only, never on threads.
struct ChunkPlan {
  bool flat = false;   ///< Stored order, no structure: for elementwise patterns.
  bool whole = false;  ///< Rows are not contiguous in the store: one chunk, read at once.
  std::vector<ChunkRange> ranges;
};

ChunkPlan PlanChunks(const Layer& layer, const Pattern& pattern);

/// One chunk in memory, in packed order. Buffers are reused from chunk to chunk.
struct WeightChunk {
  bool flat = false;               ///< In stored order, of a flat plan.
  std::int64_t first_row = 0;      ///< Row of the layer that row 0 is; 0 in flat plans.
  std::int64_t first_element = 0;  ///< Index in the layer's order of the first element.
  PackedShape shape;
  std::vector<std::byte> bytes;
  std::vector<std::byte> stored;  ///< Scratch, in stored order.

  std::int64_t elements() const { return shape.Elements(); }
};

/// Reads a chunk of layer `index`; `layer` is the store's own or a copy with another view of the
/// same elements, for which `plan` was made.
void ReadChunk(const WeightStore& store, std::size_t index, const Layer& layer,
               const ChunkPlan& plan, const ChunkRange& range, WeightChunk* chunk);

/// Writes `chunk` back to where ReadChunk took it from.
void WriteChunk(WeightStore& store, std::size_t index, const ChunkPlan& plan, WeightChunk* chunk);

}  // namespace espalier
