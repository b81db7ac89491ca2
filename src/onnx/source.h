#pragma once

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "espalier/onnx/onnx_file.h"
#include "onnx/external_data.h"
#include "onnx/tensor_proto.h"

namespace espalier {

/// What the writer needs besides the graph.
class OnnxSource {
 public:
  /// Where a constant of the graph came from, and what it was: a writer's check.
  struct ConstantRecord {
    std::string name;
    int scope = 0;
    internal::Storage storage = internal::Storage::kNone;
    bool detached = false;  ///< The proto below no longer has the values; the graph's tensor has.
  };

  /// The file, less the values of large constants: those exist once, in the graph's tensors.
  std::shared_ptr<onnx::ModelProto> proto;
  std::vector<ConstantRecord> constants;  ///< One for each of Graph::constants, same order.
  /// One for each of ListExternalTensors(proto); null where a constant of the graph has the bytes.
  std::vector<internal::SharedBytes> external;
  std::filesystem::path path;  ///< Empty for a model that was read from memory.
};

}  // namespace espalier
