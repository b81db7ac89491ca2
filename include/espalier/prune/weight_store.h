#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/graph/layers.h"

namespace espalier {

/// Told of so many more bytes done. Called from several threads.
using AdvanceFunction = std::function<void(std::uint64_t bytes)>;

/// Where weights live: a graph in memory, a matrix, a checkpoint on disk. Pruning and checking read
/// and write runs of a layer's stored elements through it and never hold more than they work on.
class WeightStore {
 public:
  virtual ~WeightStore() = default;

  /// The layers, in their order; fixed for the life of the store.
  virtual const std::vector<Layer>& layers() const = 0;

  /// Elements of float tensors that belong to no layer: biases, norms, embeddings.
  virtual std::int64_t OtherParameters() const { return 0; }

  /// Reads stored bytes from element `first` of a layer on. Safe from several threads.
  /// @throws Error  kBadFile if they cannot be read.
  virtual void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const = 0;

  /// Writes stored bytes; reads afterwards may give either. Safe from several threads for runs that
  /// do not overlap.
  /// @throws Error  kWriteFailed.
  virtual void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) = 0;

  /// Called once, before any Write, with the layers that will be written in full: a store whose
  /// output is separate copies all else to it.
  /// @throws Error  kWriteFailed, kBadFile.
  virtual void BeginWrites(const std::vector<std::size_t>& layers, int threads,
                           const AdvanceFunction& advance);

  /// Bytes that BeginWrites copies, for progress; 0 if none.
  virtual std::uint64_t BytesToCopy(const std::vector<std::size_t>& layers) const;
};

/// The weights of a graph, changed in place. Keeps a reference to the graph.
class GraphWeights final : public WeightStore {
 public:
  explicit GraphWeights(Graph& graph);

  const std::vector<Layer>& layers() const override { return layers_; }
  void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const override;
  void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) override;
  std::int64_t OtherParameters() const override;

  /// Marks the constants as modified and makes their bytes private.
  void BeginWrites(const std::vector<std::size_t>& layers, int threads,
                   const AdvanceFunction& advance) override;

 private:
  Graph& graph_;
  std::vector<Layer> layers_;
};

/// One matrix [output, input], or one convolution weight [K, C, R, S], in memory.
class MatrixWeights final : public WeightStore {
 public:
  /// @param name           For reports.
  /// @param fortran_order  Whether the first dimension varies fastest.
  /// @param bytes          The stored elements; changed in place.
  /// @throws Error  kUnsupported if `dtype` cannot be pruned or there are not 2 to 5 dimensions;
  ///                kShapeMismatch if `bytes` has another size.
  MatrixWeights(const std::string& name, DType dtype, const Dims& shape, bool fortran_order,
                std::vector<std::byte>* bytes);

  const std::vector<Layer>& layers() const override { return layers_; }
  void Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const override;
  void Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) override;

 private:
  std::vector<std::byte>* bytes_;
  std::vector<Layer> layers_;
};

/// The layer that a stored tensor of PyTorch's layouts makes: [K, C] linear, [K, C, R...] conv.
/// @return  A layer without refusal, caution or graph constant; positions row-major.
Layer LayerOfTensor(const std::string& name, DType dtype, const Dims& shape);

}  // namespace espalier
