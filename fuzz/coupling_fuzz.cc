// Coupled channels of any model that can be read, and its permutation by a search of two rounds.
#include <span>

#include "espalier/base/error.h"
#include "espalier/graph/coupling.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/permute/permute_graph.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

// A model of a few bytes may declare large tensors; those would only cost time.
constexpr std::int64_t kMostElements = 1 << 16;

bool IsSmall(const Graph& graph) {
  std::int64_t elements = 0;
  for (const Constant& constant : graph.constants) elements += constant.tensor.elements();
  return elements <= kMostElements;
}

void CheckGroup(const Graph& graph, const CouplingGroup& group) {
  for (const CoupledTensor& tensor : group.tensors) {
    const Dims& dims = graph.constants.at(static_cast<std::size_t>(tensor.constant)).tensor.dims();
    std::size_t places = 1;
    for (const int axis : tensor.axes) {
      places *= static_cast<std::size_t>(dims.at(static_cast<std::size_t>(axis)));
    }
    Require(tensor.channels.size() == places);
    for (const std::uint32_t channel : tensor.channels) {
      Require(channel == kNoChannel || channel < group.channels);
    }
  }
}

void Fuzz(std::span<const std::byte> bytes) {
  try {
    OnnxModel model = ReadOnnxFromBytes(bytes);
    for (const CouplingGroup& group : FindCoupledChannels(model.graph)) {
      CheckGroup(model.graph, group);
    }
    if (!IsSmall(model.graph)) return;
    PermuteGraphOptions options;
    options.search.rounds = 2;
    PermuteGraph(model.graph, options);
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile || error.code() == ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::Fuzz({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
