#pragma once

#include <filesystem>

#include "espalier/graph/tensor.h"

namespace espalier {

/// Reads a file that holds one serialised TensorProto, as ONNX's test data does (`input_0.pb`).
///
/// @return  The tensor with its bytes; strings and types that Espalier does not know have no bytes.
/// @throws Error  kBadFile, with the path: missing, larger than 1 GB, not a TensorProto, values
///                that do not fit dims and type, values in another file. A sequence or an optional
///                is another message: mostly kBadFile, but its first field may read as dims.
/// @cost   Memory: twice the size of the file.
Tensor ReadTensorProto(const std::filesystem::path& path);

}  // namespace espalier
