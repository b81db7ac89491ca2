// Reads any bytes as an ONNX model: an Error or a graph, never a crash. libFuzzer's own limits
// catch an allocation out of proportion; run with -malloc_limit_mb=64 -max_len=8192.
#include <cstddef>
#include <cstdint>
#include <span>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const espalier::OnnxModel model =
        espalier::ReadOnnxFromBytes(std::as_bytes(std::span(data, size)));
    volatile unsigned sum = 0;  // so that the address sanitizer sees each byte read
    for (const espalier::Constant& constant : model.graph.constants) {
      for (const std::byte byte : constant.tensor.bytes())
        sum = sum + std::to_integer<unsigned>(byte);
    }
    const espalier::ConstantIndex index(model.graph);
    for (const espalier::Scope& scope : model.graph.scopes) {
      for (const espalier::Node& node : scope.nodes) {
        for (const std::string& input : node.inputs) index.Find(0, input);
        espalier::NodeText(node);
      }
    }
  } catch (const espalier::Error&) {
  }
  return 0;
}
