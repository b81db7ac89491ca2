#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/io/atomic_file.h"

namespace espalier {

/// The parsed file behind a Graph, opaque: what Espalier does not understand stays in here and goes
/// back out unchanged.
class OnnxSource;

struct OnnxModel {
  Graph graph;
  std::shared_ptr<const OnnxSource> source;
  std::vector<std::filesystem::path> external_files;  ///< Data files read beside the model.
};

/// Reads an ONNX model of any IR version from 3 and any opset, with external data.
///
/// Bytes of initializers and Constant nodes are checked against dims and type. External data must
/// lie inside the model's folder (after resolving links).
/// @throws Error  kBadFile, with the tensor's or node's name: not ONNX, truncated, over 2 GB in one
///                file, no opset, IR version 1 or 2, a tensor whose size does not fit, over 64
///                dimensions, a constant's name defined twice, a path that leaves the folder.
/// @cost   Memory: about the size of the file and its external data, which tensors share.
OnnxModel ReadOnnx(const std::filesystem::path& path);

/// Writes the source file back with the graph's modified constants, whole or not at all.
///
/// Constants that were added behind those of the source become initializers; nodes may have other
/// inputs than in the source, or be gone. Nodes and scopes cannot be added.
/// A constant keeps the field that its bytes came in (raw_data, float_data, int32_data, external
/// data, value_float, value_floats). Models that use external data, or that would pass protobuf's
/// limit of 2 GB, are written with all tensors of 1 KB and more in one file `<name>.data` beside
/// the output, each at a multiple of 4096 bytes. Where the output may be overwritten and that name
/// is taken, the file is `<name>.1.data`, `<name>.2.data`, ..., the first free one: a process
/// killed at any moment leaves the old model with its old data or the new one with its new data.
/// Data under such a name that the replaced model used is removed last, unless the input model
/// needs it or the replaced model has another hard link; other models that share it are not looked
/// for.
/// @throws Error  kWriteFailed; kInvalidArgument if an output exists and `overwrite` is kNo, or if
///                `path` is a data file that the input model needs; kInternal if the graph
///                no longer has the constants of its source, or has nodes that it has not.
/// @cost   Memory: a second copy of the values that go into the model file itself.
void WriteOnnx(const OnnxModel& model, const std::filesystem::path& path, Overwrite overwrite);

/// Same as ReadOnnx from memory, for tests and fuzzers. `bytes` need not outlive the call.
/// @throws Error  as ReadOnnx; kBadFile for a model with external data.
OnnxModel ReadOnnxFromBytes(std::span<const std::byte> bytes);

}  // namespace espalier
