// Runs a network and prints the largest number of each output.
//
//   run_model MODEL.onnx [THREADS]

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/runtime/session.h"

namespace {

void PrintLargest(const espalier::OutputTensor& output) {
  if (output.dtype != espalier::DType::kFloat32 || output.bytes.empty()) return;
  const std::span values(reinterpret_cast<const float*>(output.bytes.data()),
                         output.bytes.size() / sizeof(float));
  const auto largest = std::ranges::max_element(values);
  std::cout << output.name << " [" << espalier::DimsText(output.dims) << "]: largest at "
            << largest - values.begin() << '\n';
}

void RunModel(const char* model, int threads) {
  espalier::SessionOptions options;
  options.threads = threads;
  espalier::Session session(espalier::ReadOnnx(model).graph, options);

  // The bytes stay ours; a session borrows them for one run.
  const auto tensors = espalier::RandomInputs(session, /*seed=*/0);
  std::vector<espalier::InputTensor> inputs;
  for (const auto& [name, tensor] : tensors) {
    inputs.push_back({name, tensor.dtype(), tensor.dims(), tensor.bytes()});
  }
  for (const espalier::OutputTensor& output : session.Run(inputs)) PrintLargest(output);

  std::size_t sparse = 0;
  const auto steps = session.Steps();
  for (const espalier::StepReport& step : steps) sparse += step.sparsity >= 0.5 ? 1 : 0;
  std::cout << steps.size() << " steps, " << sparse << " with half of the weights zero or more\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: run_model MODEL.onnx [THREADS]\n";
    return 2;
  }
  try {
    RunModel(argv[1], argc == 3 ? std::atoi(argv[2]) : 1);
    return 0;
  } catch (const espalier::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
