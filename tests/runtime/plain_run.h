#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "espalier/base/random.h"
#include "espalier/graph/tensor.h"
#include "espalier/runtime/session.h"
#include "runtime/environment.h"
#include "runtime/program.h"
#include "tests/graph/graph_builder.h"

// Shared with the fuzzer: no GoogleTest here.
namespace espalier::testing {

using Tensors = std::map<std::string, Tensor>;

/// Numbers in [-1, 1), the same for the same seed; `zeros` of every 8 are zero.
inline Tensor RandomTensor(const Dims& dims, std::uint64_t seed, int zeros = 0) {
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) count *= dim;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t random = RandomAt(seed, i);
    values[i] = static_cast<float>(random >> 40) * 0x1p-23f - 1;
    if (static_cast<int>(random % 8) < zeros) values[i] = 0;
  }
  return TensorOf(DType::kFloat32, dims, values);
}

inline std::vector<float> FloatsOf(const Tensor& tensor) {
  std::vector<float> values(tensor.bytes().size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes().data(), tensor.bytes().size());
  return values;
}

/// Runs a graph as it stands, with no pass and no plan: the oracle for what sessions do.
inline Tensors RunPlainly(const Graph& graph, const Tensors& inputs, bool tune = true) {
  SessionOptions options;
  options.tune = tune;
  const runtime::Environment environment(options);
  runtime::Program program(graph, 0, environment);
  for (std::size_t i = 0; i < graph.scopes[0].inputs.size(); ++i) {
    const Tensor& tensor = inputs.at(graph.scopes[0].inputs[i].name);
    program.SetInput(
        i, {tensor.dtype(), tensor.dims(), const_cast<std::byte*>(tensor.bytes().data())});
  }
  program.Run();
  Tensors outputs;
  for (std::size_t i = 0; i < graph.scopes[0].outputs.size(); ++i) {
    const runtime::Value& value = program.output(i);
    outputs.emplace(graph.scopes[0].outputs[i].name,
                    Tensor(value.dtype, value.dims,
                           std::vector<std::byte>(value.data, value.data + value.Bytes())));
  }
  return outputs;
}

}  // namespace espalier::testing
