#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/graph/tensor.h"

namespace espalier {

/// A kernel that a layer is to run with, as StepReport::choice of an earlier session says it.
struct KernelChoice {
  std::string layer;   ///< The layer's name.
  std::string isa;     ///< Instruction set that it was made for; another one ignores it.
  std::string choice;  ///< What to run. A text that does not fit the layer is ignored.
};

struct SessionOptions {
  /// Threads for one run, the caller's among them.
  int threads = 1;
  /// Whether each layer's candidate kernels are timed when a shape is first seen. Without, a cost
  /// model chooses, so that the choice is the same every time.
  bool tune = true;
  /// Runs every layer with its dense kernels, as if no weight were zero.
  bool dense_only = false;
  /// Choices made before; they replace timing for the layers that they name.
  std::vector<KernelChoice> choices = {};
  /// Bytes that all values of the session may take together, weights not counted; a run that needs
  /// more ends with an Error before it touches the memory. 0: three quarters of what the machine
  /// has.
  std::uint64_t memory_limit = 0;
  /// Rounds that all loops of one run may make together; a loop that wants more ends with an Error.
  std::int64_t max_loop_trips = std::int64_t{1} << 31;
};

/// A value that goes into a run. Borrowed: the bytes have to stay until the run returns.
struct InputTensor {
  std::string_view name;
  DType dtype = DType::kFloat32;
  Dims dims;
  std::span<const std::byte> bytes;  ///< Row-major, little-endian.
};

/// A value that came out of a run. The bytes are the session's: the next run overwrites them.
struct OutputTensor {
  std::string_view name;
  DType dtype = DType::kUnknown;
  Dims dims;
  std::span<const std::byte> bytes;

  /// A copy to keep.
  Tensor ToTensor() const;
};

/// What one step of a network runs with, and why.
struct StepReport {
  std::string name;         ///< The node's name, or the name of its first output.
  std::string op;           ///< ONNX operator, with "+Relu" and the like for what is fused into it.
  std::string kernel;       ///< "spmm 4x1 f32 8x256", "depthwise 3x3", "onednn", "reference".
  std::string reason;       ///< Why that one.
  std::string choice;       ///< For SessionOptions::choices; empty if there was nothing to choose.
  double sparsity = -1;     ///< Share of zeros in the weight; -1 for steps without one.
  double milliseconds = 0;  ///< In the last run with timing.
};

/// A network, ready to run on the CPU.
///
/// The graph is simplified first (constants folded, normalization and bias folded into the layers
/// before them, activations and residual sums fused); the function that it computes stays the same
/// to float rounding. Each set of input shapes gets a plan of its own when it is first seen: a
/// kernel for each layer and one block of memory for all values; later runs with those shapes
/// allocate nothing. The plans of the 16 sets of shapes used last are kept. One run at a time:
/// calls of Run() from several threads need a session each.
class Session {
 public:
  /// @throws Error  kUnsupported, naming every operator that the runtime lacks; kBadFile for a
  ///                malformed graph; kInvalidArgument for options out of range.
  explicit Session(Graph graph, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Inputs that a run needs, in the model's order; -1 for a dimension that the caller chooses.
  std::span<const ValueInfo> inputs() const;
  std::span<const ValueInfo> outputs() const;

  /// Runs the network.
  /// @param inputs  One for each of inputs(), in any order.
  /// @return        One for each of outputs(), in that order; borrowed until the next run.
  /// @throws Error  kInvalidArgument for an input that is missing, unknown, or of another type or
  ///                shape than the model declares; kBadFile for values that the model's operators
  ///                do not allow; kUnsupported, naming the node, if memory or
  ///                SessionOptions::memory_limit or max_loop_trips runs out. The session stays
  ///                usable.
  std::span<const OutputTensor> Run(std::span<const InputTensor> inputs);

  /// The same with tensors that own their bytes, by name.
  std::map<std::string, Tensor> Run(const std::map<std::string, Tensor>& inputs);

  /// The same, and takes the time of each step for Steps().
  std::span<const OutputTensor> RunTimed(std::span<const InputTensor> inputs);

  /// The steps of the last run's plan, in order.
  std::vector<StepReport> Steps() const;

  /// SessionOptions::memory_limit, or what stands for 0.
  std::uint64_t MemoryLimit() const;

  /// Bytes of the block that holds all values of the last run's plan.
  std::size_t ArenaBytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Inputs with uniform random numbers in [0, 1), the same for the same seed; zeros for types that
/// are not floating point.
/// @param unknown  What to take for a dimension that the model leaves open.
/// @throws Error    kUnsupported if they are larger than the session's memory limit.
std::map<std::string, Tensor> RandomInputs(const Session& session, std::uint64_t seed,
                                           std::int64_t unknown = 1);

}  // namespace espalier
