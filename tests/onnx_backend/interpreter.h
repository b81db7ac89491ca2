#pragma once

#include <memory>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier {

/// A model whose nodes run one by one, each operator as the runtime makes it: no folding, no
/// fusion, no shared memory. What fails here is the operator's fault.
class Interpreter {
 public:
  /// Makes the operators of the main graph.
  /// @throws Error  kUnsupported for an operator, attribute or type that the runtime lacks.
  explicit Interpreter(const Graph& graph);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  /// Names of the graph's inputs that are not initializers, in order.
  const std::vector<std::string>& input_names() const { return input_names_; }

  /// Runs on one tensor for each of input_names(); further ones may be left out.
  std::vector<Tensor> Run(const std::vector<Tensor>& inputs);

 private:
  struct Impl;
  const Graph& graph_;
  std::vector<std::string> input_names_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
