#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>

#include "espalier/graph/graph.h"
#include "onnx/external_data.h"

namespace espalier::internal {

/// Brings what the graph has more or less than the file it came from into `proto`, a copy of that
/// file: constants behind the first `stated`, other inputs of nodes, nodes that are gone.
///
/// A node is known by its operator and its outputs. Untouched parts keep their bytes.
/// @param external  Takes the values of large constants; null if all go into one file.
/// @throws Error    kInternal for a node or scope that the file does not have, for an added
///                  constant whose type or scope the format cannot hold, and for a name that the
///                  scope has already.
void StoreEdits(const Graph& graph, std::size_t stated, onnx::ModelProto* proto,
                ExternalWriter* external);

}  // namespace espalier::internal
