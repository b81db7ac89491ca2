// Runs any bytes as a model: an Error or outputs, the same twice; never a crash, never without end.
// Bytes that begin with 'G' are decisions for a random network instead, whose session has to
// compute what the graph computes plainly. Run with -timeout=20 -max_len=8192.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/runtime/compare.h"
#include "espalier/runtime/session.h"
#include "tests/runtime/random_graph.h"

namespace espalier {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;
constexpr std::int64_t kMostInputElements = 1 << 14;

void Require(bool promise) {
  if (!promise) std::abort();
}

bool SmallInputs(const Session& session) {
  std::int64_t all = 0;
  for (const ValueInfo& input : session.inputs()) {
    std::int64_t count = 1;
    for (const std::int64_t dim : input.dims.value_or(Dims())) {
      count *= dim < 0 ? 2 : dim;
      if (count > kMostInputElements) return false;
    }
    all += count;
  }
  return all <= kMostInputElements;
}

void RunModel(std::span<const std::byte> bytes) {
  try {
    OnnxModel model = ReadOnnxFromBytes(bytes);
    SessionOptions options;
    options.tune = false;
    options.memory_limit = kMostBytes;
    options.max_loop_trips = 1000;
    Session session(std::move(model.graph), options);
    if (!SmallInputs(session)) return;
    const auto inputs = RandomInputs(session, 1, 2);
    const auto first = session.Run(inputs);
    const auto second = session.Run(inputs);
    for (const auto& [name, tensor] : first) {
      const Tensor& again = second.at(name);
      Require(tensor.dtype() == again.dtype() && tensor.dims() == again.dims());
      Require(std::ranges::equal(tensor.bytes(), again.bytes()));
    }
  } catch (const Error&) {
  }
}

void RunRandomGraph(std::span<const std::uint8_t> bytes) {
  testing::Choices choices(bytes.size(), bytes);
  SessionOptions options;
  options.tune = false;
  options.threads = choices.Coin() ? 3 : 1;
  options.dense_only = choices.Coin();
  const testing::RandomGraph random = testing::MakeRandomGraph(choices);
  Session session(random.graph, options);
  std::vector<std::string> names;
  for (const ValueInfo& output : session.outputs()) names.push_back(output.name);
  for (const testing::Tensors& inputs : random.inputs) {
    const testing::Tensors want = testing::RunPlainly(random.graph, inputs, false);
    for (int run = 0; run < 2; ++run) {
      for (const auto& difference : CompareOutputs(want, session.Run(inputs), names, names)) {
        Require(difference.Relative() <= 1e-4 || difference.max_abs_diff < 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(data, size);
  if (size > 0 && data[0] == 'G') {
    espalier::RunRandomGraph(bytes.subspan(1));
  } else {
    espalier::RunModel(std::as_bytes(bytes));
  }
  return 0;
}
