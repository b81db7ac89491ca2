#pragma once

#include "onnx/source.h"

namespace espalier::internal {

/// Builds the graph of a parsed file, and the source's record of its constants; large values move
/// from `source->proto` to the graph's tensors.
/// @param external  Null for a model in memory, which has no files beside it.
/// @throws Error    kBadFile with the tensor's or node's name.
Graph GraphFromProto(OnnxSource* source, ExternalReader* external);

}  // namespace espalier::internal
