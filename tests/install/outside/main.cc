#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "espalier/base/isa.h"
#include "espalier/kernels/nm_mask.h"
#if ESPALIER_HAS_ONNX
#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#endif
#if ESPALIER_HAS_RUNTIME
#include "espalier/runtime/session.h"
#endif

namespace {

// A kernel (needs Highway at link time).
bool Prunes() {
  std::vector<float> weight = {1, -4, 3, 2};
  std::vector<std::uint32_t> bits(4);
  std::memcpy(bits.data(), weight.data(), 16);
  espalier::PruneNm(bits.data(), 1, 4, 2, 4);
  std::memcpy(weight.data(), bits.data(), 16);
  return weight == std::vector<float>{0, -4, 3, 0};
}

// The ONNX reader (needs protobuf and onnx at link time).
bool RefusesWhatIsNotOnnx() {
#if ESPALIER_HAS_ONNX
  try {
    espalier::ReadOnnx("CMakeCache.txt");
    return false;
  } catch (const espalier::Error& error) {
    return error.code() == espalier::ErrorCode::kBadFile;
  }
#else
  return true;
#endif
}

#if ESPALIER_HAS_RUNTIME
espalier::Tensor Floats(const espalier::Dims& dims, const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return espalier::Tensor(espalier::DType::kFloat32, dims, std::move(bytes));
}
#endif

// A network made in memory (needs oneDNN at link time): y = Relu(x * w).
bool RunsANetwork() {
#if ESPALIER_HAS_RUNTIME
  espalier::Graph graph;
  graph.opsets[""] = 17;
  espalier::Scope scope;
  scope.inputs = {{"x", espalier::DType::kFloat32, espalier::Dims{1, 2}}};
  scope.outputs = {{"y", espalier::DType::kFloat32, espalier::Dims{1, 3}}};
  scope.nodes = {{"", "MatMul", "", {"x", "w"}, {"h"}, {}, {}},
                 {"", "Relu", "", {"h"}, {"y"}, {}, {}}};
  graph.scopes.push_back(std::move(scope));
  graph.constants.push_back({"w", 0, Floats({2, 3}, {1, 0, -1, 0, 2, 0})});
  espalier::Session session(std::move(graph));
  const auto outputs =
      session.Run(std::map<std::string, espalier::Tensor>{{"x", Floats({1, 2}, {3, 4})}});
  return outputs.at("y").AsDoubles() == std::vector<double>{3, 8, 0};
#else
  return true;
#endif
}

bool Check(bool good, const char* otherwise) {
  if (!good) std::cerr << otherwise << '\n';
  return good;
}

}  // namespace

int main() {
  std::cout << "instruction set " << espalier::ActiveIsa() << '\n';
  const bool prunes = Check(Prunes(), "2:4 of 1 -4 3 2 is not 0 -4 3 0");
  const bool refuses = Check(RefusesWhatIsNotOnnx(), "CMakeCache.txt was read as ONNX");
  const bool runs = Check(RunsANetwork(), "Relu((3 4) (1 0 -1; 0 2 0)) is not 3 8 0");
  return prunes && refuses && runs ? 0 : 1;
}
