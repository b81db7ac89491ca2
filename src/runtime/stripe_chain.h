#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "runtime/stripe_layer.h"

namespace espalier::runtime {

inline constexpr std::size_t kMaxStripeLayers = 8;

/// What a chain works on: whole images.
struct StripeRun {
  const float* in = nullptr;
  float* out = nullptr;
  std::array<StripeOperands, kMaxStripeLayers> operands;
};

/// Layers, each of which reads the image of the one before. They run together, some rows of the
/// last image at a time; of the images between them only the rows in use exist, in buffers that
/// stay in the cache. Every row is computed once: rows that the next stripe reads again are kept.
class StripeChain {
 public:
  /// @param layers  1 to kMaxStripeLayers; borrowed.
  /// @param rows    Rows of the last image in a stripe.
  StripeChain(std::vector<const StripeLayer*> layers, std::size_t rows, int threads);

  /// Floats of the images between the layers: what one thread keeps in its cache.
  std::size_t buffer_floats() const { return buffer_floats_; }
  std::size_t rows() const { return rows_; }
  std::size_t size() const { return layers_.size(); }
  /// For Run(), of all threads.
  std::size_t ScratchBytes() const;
  /// Whether the layers still have the shapes that the chain was made for.
  bool Fits() const;

  /// Threads share the rows of the last image; what two of them need both is computed twice.
  /// @param scratch  ScratchBytes(), aligned to kAlignment.
  /// @param seconds  Null, or room for the time of each layer on the first thread.
  void Run(const StripeRun& run, std::byte* scratch, double* seconds) const;

 private:
  struct Buffer {
    std::size_t rows = 0;
    std::size_t plane_stride = 0;
    std::size_t offset = 0;  // floats from the thread's first buffer
  };
  // Which rows each buffer holds, and which rows each layer is to compute next.
  struct State {
    std::array<RowRange, kMaxStripeLayers> held;
    std::array<RowRange, kMaxStripeLayers> keep;
    std::array<RowRange, kMaxStripeLayers> todo;
  };

  RowRange Share(int thread) const;
  void Next(State& state, RowRange last) const;
  void MeasureBuffers();
  void KeepRows(std::size_t layer, State& state, float* buffers) const;
  void RunShare(const StripeRun& run, RowRange share, std::byte* scratch, double* seconds) const;

  std::vector<const StripeLayer*> layers_;
  std::vector<StripeShape> shapes_;
  std::vector<Buffer> buffers_;  // between layer i and i + 1
  std::size_t rows_;
  int threads_;
  std::size_t buffer_floats_ = 0;
  std::size_t layer_scratch_ = 0;
};

}  // namespace espalier::runtime
