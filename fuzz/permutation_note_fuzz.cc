// Undo of a permutation, by whatever a model's metadata says.
#include <string>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/permute/tensor_order.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

Graph TwoConstants() {
  Graph graph;
  graph.scopes.resize(1);
  graph.constants.push_back({"a", 0, Tensor(DType::kInt8, {4}, std::vector<std::byte>(4)), false});
  graph.constants.push_back(
      {"b", 0, Tensor(DType::kInt16, {2, 3}, std::vector<std::byte>(12)), false});
  return graph;
}

void Fuzz(std::string note) {
  Graph graph = TwoConstants();
  graph.metadata[std::string(kPermutationNote)] = std::move(note);
  try {
    UndoPermutations(graph);
    Require(graph.metadata.empty());
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile);
    Require(graph.metadata.size() == 1 && !graph.constants[0].modified);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::Fuzz(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
