#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/graph/graph.h"
#include "runtime/stripe_layer.h"
#include "runtime/value.h"

namespace espalier::runtime {

/// What an operator sees while it runs: its inputs, and where its outputs go.
class OpContext {
 public:
  virtual ~OpContext() = default;

  virtual std::size_t InputCount() const = 0;
  /// Whether input `i` is given.
  virtual bool HasInput(std::size_t i) const = 0;
  /// @throws Error  kBadFile if the node lacks that input.
  virtual const Value& Input(std::size_t i) const = 0;
  /// Whether input `i` is the same in every run: an initializer, or made from those alone.
  virtual bool IsConstant(std::size_t i) const = 0;

  virtual std::size_t OutputCount() const = 0;
  /// Whether somebody named output `i`.
  virtual bool HasOutput(std::size_t i) const = 0;

  /// Memory for output `i`, aligned to kAlignment, not initialised. Never overlaps an input. Call
  /// it for each output that HasOutput(); a later call for the same output may move it.
  /// @throws Error  kUnsupported if it is too large or of a type without a size.
  virtual Value& Output(std::size_t i, DType dtype, const Dims& dims) = 0;

  /// Makes output `i` a view of input `input`'s bytes from `byte_offset` on: no copy.
  virtual Value& OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                            std::size_t byte_offset = 0) = 0;

  /// Threads to split work over with ThreadPool::Shared().
  virtual int threads() const = 0;

  /// Working memory until the operator returns, aligned, not initialised. One piece at a time.
  virtual std::byte* Scratch(std::size_t bytes) = 0;

  // What most operators need, in terms of the above.

  template <typename T>
  const T* In(std::size_t i) const {
    return Input(i).template As<T>();
  }
  template <typename T>
  T* Out(std::size_t i, DType dtype, const Dims& dims) {
    return Output(i, dtype, dims).template As<T>();
  }
  /// Elements of an integer input (int64, int32) as 64-bit numbers: shapes, axes.
  /// @throws Error  kBadFile if it has another type.
  std::vector<std::int64_t> Ints(std::size_t i) const;
};

/// An operator of the network, made once from its node. It may keep what it learned of its inputs'
/// shapes, and has to check at each run that they are still the same.
class Op {
 public:
  virtual ~Op() = default;

  /// Computes the outputs. After the first run with the same shapes it allocates nothing but
  /// through the context.
  /// @throws Error  kBadFile for inputs that the operator does not allow, with their values.
  virtual void Run(OpContext& context) = 0;

  /// What runs: "spmm 4x1 f32", "reference", for the tables of `bench`.
  virtual std::string Kernel() const { return ""; }
  /// Why that, in a few words.
  virtual std::string Reason() const { return ""; }
  /// What SessionOptions::choices may repeat; empty if there was nothing to choose.
  virtual std::string Choice() const { return ""; }
  /// How to run a few rows at a time, with the shapes of the last run; null if it cannot.
  virtual const StripeLayer* AsStripeLayer() const { return nullptr; }
  /// Share of zeros in the weight; -1 without one.
  virtual double Sparsity() const { return -1; }
};

/// What an operator is made from.
class OpBuild {
 public:
  /// @param constants  Of the graph, or null: then ConstantInput() knows none.
  OpBuild(const Graph& graph, int scope, const Node& node, const ConstantIndex* constants = nullptr)
      : graph_(&graph), scope_(scope), node_(&node), constants_(constants) {}

  const Graph& graph() const { return *graph_; }
  int scope() const { return scope_; }
  const Node& node() const { return *node_; }
  /// Version of the node's operator set.
  std::int64_t opset() const;

  bool Has(const std::string& attribute) const { return node_->attributes.contains(attribute); }

  /// The attribute's value, or `fallback` if the node has none.
  /// @throws Error  kBadFile if it has another type.
  std::int64_t Int(const std::string& attribute, std::int64_t fallback) const;
  float Float(const std::string& attribute, float fallback) const;
  std::string String(const std::string& attribute, const std::string& fallback) const;
  std::vector<std::int64_t> Ints(const std::string& attribute,
                                 std::vector<std::int64_t> fallback) const;
  std::vector<float> Floats(const std::string& attribute, std::vector<float> fallback) const;
  /// Null if the node has none.
  const Tensor* TensorOf(const std::string& attribute) const;

  /// The constant that input `i` always is; null if it is none.
  const Tensor* ConstantInput(std::size_t i) const;

  /// For what the runtime does not do: kUnsupported, with the node's name and "what".
  [[noreturn]] void Refuse(const std::string& what) const;

 private:
  const Graph* graph_;
  int scope_;
  const Node* node_;
  const ConstantIndex* constants_;
};

struct OpEntry {
  std::string_view domain;  ///< Empty for ONNX's own.
  std::string_view op_type;
  std::unique_ptr<Op> (*make)(const OpBuild& build);
};

/// The operator of a node; null if there is none.
const OpEntry* FindOp(const Node& node);

/// `axis`, from the end if negative.
/// @throws Error  kBadFile if it is out of range.
std::size_t CheckedAxis(std::int64_t axis, std::size_t rank);

// The table's parts, one a file.
std::span<const OpEntry> ElementwiseOps();  // ops/elementwise*.cc
std::span<const OpEntry> MoveOps();         // ops/move*.cc: reshape, transpose, concat, slice, ...
std::span<const OpEntry> IndexOps();        // ops/index*.cc: gather, scatter, top-k, one-hot, ...
std::span<const OpEntry> ReduceOps();       // ops/reduce*.cc
std::span<const OpEntry> NormalizeOps();    // ops/normalize*.cc: norms, softmax
std::span<const OpEntry> ConvOps();         // ops/conv*.cc
std::span<const OpEntry> PoolOps();         // ops/pool*.cc
std::span<const OpEntry> MatrixOps();       // ops/matrix*.cc: Gemm, MatMul, Einsum
std::span<const OpEntry> RecurrentOps();    // ops/recurrent*.cc
std::span<const OpEntry> ResizeOps();       // ops/resize*.cc
std::span<const OpEntry> QuantizedOps();    // ops/quantized*.cc
std::span<const OpEntry> ControlOps();      // ops/control*.cc: If, Loop, Scan

}  // namespace espalier::runtime
