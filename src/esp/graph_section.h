#pragma once

#include "esp/wire.h"
#include "espalier/graph/graph.h"

namespace espalier::internal {

/// Section GRPH: everything of a graph but its constants.
void WriteGraphSection(const Graph& graph, ByteWriter* out);

/// Fills `graph` but for its constants. Indices and names are not checked: GraphProblem() does.
/// @throws Error  kBadFile as ByteReader.
void ReadGraphSection(ByteReader* in, Graph* graph);

/// A tensor's type and dimensions, as sections GRPH and CNST have them.
void WriteTensorType(DType dtype, const Dims& dims, ByteWriter* out);

struct TensorType {
  DType dtype = DType::kUnknown;
  Dims dims;
};

/// @throws Error  kBadFile: also for an unknown type, over 64 dimensions, or over 2^62 bytes.
TensorType ReadTensorType(ByteReader* in);

}  // namespace espalier::internal
