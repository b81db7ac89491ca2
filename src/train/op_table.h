#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier::train {

/// Runs branches and loop bodies; whoever executes a graph hands itself to its operators.
class ScopeRunner {
 public:
  virtual ~ScopeRunner() = default;

  /// @param scope   Index in Graph::scopes.
  /// @param inputs  One for each of the scope's inputs.
  virtual std::vector<at::Tensor> RunScope(int scope, std::span<const at::Tensor> inputs) = 0;
};

class SliceCuts;

/// A node's inputs; asking for one that the file left out is an error, not a crash.
class OpInputs {
 public:
  /// Borrows both. Undefined tensors stand for optional inputs left out.
  OpInputs(const Node& node, std::span<const at::Tensor> tensors)
      : node_(&node), tensors_(tensors) {}

  std::size_t size() const { return tensors_.size(); }
  bool Has(std::size_t index) const { return index < size() && tensors_[index].defined(); }
  /// @throws Error  kBadFile, naming the node, if it is not there.
  const at::Tensor& operator[](std::size_t index) const;
  /// All of them.
  /// @throws Error  kBadFile if one is left out.
  at::TensorList All() const;

 private:
  const Node* node_;
  std::span<const at::Tensor> tensors_;
};

/// What an operator sees of one execution.
struct OpCall {
  const Node& node;
  OpInputs inputs;
  std::int64_t opset = 0;  ///< Of ONNX's own domain.
  bool training = false;
  at::ScalarType real = at::kFloat;  ///< The type that all float values have.
  at::Device device = at::kCPU;      ///< Where float values are; integers stay on the CPU.
  ScopeRunner* scopes = nullptr;     ///< For If and Loop.
  SliceCuts* cuts = nullptr;         ///< For Slice: what it shares with others of the same value.

  /// Whether input `index` is there.
  bool Has(std::size_t index) const { return inputs.Has(index); }
  /// The input, or an undefined tensor.
  at::Tensor In(std::size_t index) const { return Has(index) ? inputs[index] : at::Tensor(); }

  /// Attributes; the fallback if the node has none.
  /// @throws Error  kUnsupported if the node has one of another kind.
  std::int64_t Int(const std::string& name, std::int64_t fallback) const;
  std::vector<std::int64_t> Ints(const std::string& name,
                                 std::vector<std::int64_t> fallback = {}) const;
  double Float(const std::string& name, double fallback) const;
  std::string Text(const std::string& name, const std::string& fallback) const;

  /// A list of integers that came as an input in newer opsets and as an attribute in older ones;
  /// nothing if both are absent.
  std::optional<std::vector<std::int64_t>> IntsAt(std::size_t index,
                                                  const std::string& attribute) const;
  /// The same where the list has to be there.
  /// @throws Error  kBadFile, naming the node.
  std::vector<std::int64_t> RequiredInts(std::size_t index, const std::string& attribute) const;
};

/// An operator's outputs, in order.
using Outputs = std::vector<at::Tensor>;

struct OpEntry {
  std::string_view op_type;
  Outputs (*run)(const OpCall& call);
  /// Why this node cannot be trained, as the end of a sentence ("mode 'cubic' ..."); empty if it
  /// can. Null: every form can.
  std::string (*refusal)(const Node& node) = nullptr;
  /// Whether gradients flow through; without, the results are integers, bools or steps.
  bool differentiable = true;
  std::string_view domain = "";
};

/// The operator, or null. The parts below are the whole table.
const OpEntry* FindOp(std::string_view domain, std::string_view op_type);

/// All operators, for whoever has to see each one.
std::vector<const OpEntry*> AllOps();

std::span<const OpEntry> ActivationOps();  // ops_activation.cc
std::span<const OpEntry> ArithmeticOps();  // ops_arithmetic.cc
std::span<const OpEntry> ConvOps();        // ops_conv.cc
std::span<const OpEntry> ControlOps();     // ops_control.cc
std::span<const OpEntry> IndexOps();       // ops_index.cc
std::span<const OpEntry> MatrixOps();      // ops_matrix.cc
std::span<const OpEntry> MoveOps();        // ops_move.cc
std::span<const OpEntry> NormOps();        // ops_norm.cc
std::span<const OpEntry> PoolOps();        // ops_pool.cc
std::span<const OpEntry> RecurrentOps();   // ops_recurrent.cc
std::span<const OpEntry> ReduceOps();      // ops_reduce.cc
std::span<const OpEntry> ResizeOps();      // ops_resize.cc
std::span<const OpEntry> ShapeOps();       // ops_shape.cc

/// Ends a run on a node whose file makes no sense.
/// @param problem  The end of a sentence that begins with the node, as "has no pads".
[[noreturn]] void ThrowMalformed(const Node& node, const std::string& problem);

/// A tensor's elements as integers.
std::vector<std::int64_t> IntsOf(const at::Tensor& tensor);

/// The sizes behind batch and channels.
/// @throws Error  kBadFile, naming the node, if there are none.
at::IntArrayRef SpatialSizes(const OpCall& call, const at::Tensor& x);

/// Pads of a window operator, begins first, from `pads` or `auto_pad`.
/// @param sizes   Spatial sizes of the input.
/// @param kernel  One for each of them, as strides and dilations.
/// @throws Error  kBadFile, naming the node, if counts differ or one is below 1.
std::vector<std::int64_t> WindowPads(const OpCall& call, at::IntArrayRef sizes,
                                     at::IntArrayRef kernel, at::IntArrayRef strides,
                                     at::IntArrayRef dilations);

/// ONNX's order of pads (all begins, then all ends) as at::constant_pad_nd wants it: pairs, the
/// last axis first.
std::vector<std::int64_t> TorchPads(at::IntArrayRef pads);

/// Whether begins and ends agree, so that torch's one number an axis can say them.
bool SymmetricPads(at::IntArrayRef pads);

}  // namespace espalier::train
