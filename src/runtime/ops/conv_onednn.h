#pragma once

#include <string>
#include <vector>

#include "runtime/op.h"
#include "runtime/ops/conv_shape.h"
#include "runtime/ops/matrix_onednn.h"

namespace espalier::runtime {

/// A float32 convolution, or transposed one, through oneDNN. Images, groups or output channels are
/// split over our threads; each runs the same primitive on its part.
class DenseConv {
 public:
  struct Arguments {
    const float* x = nullptr;
    const float* w = nullptr;
    const float* bias = nullptr;  ///< Null for none, in every run the same.
    float* y = nullptr;
    bool constant_weight = false;
  };

  /// Makes the primitives unless those of the last call fit.
  /// @return  Whether oneDNN can run it; if not, plain loops have to.
  bool Prepare(const ConvShape& shape, bool bias, int threads);

  /// y = conv(x); then calls finish(y_begin, count) on each part as it is done, on its thread.
  /// @throws Error  kInternal if oneDNN fails.
  template <typename Finish>
  void Run(const Arguments& arguments, OpContext& context, const Finish& finish) {
    RunErased(arguments, context, &CallFinish<Finish>, &finish);
  }

  /// Name of oneDNN's kernel.
  const std::string& kernel() const { return kernel_; }

 private:
  using FinishCall = void (*)(const void* finish, std::int64_t begin, std::int64_t count);
  template <typename Finish>
  static void CallFinish(const void* finish, std::int64_t begin, std::int64_t count) {
    (*static_cast<const Finish*>(finish))(begin, count);
  }

  // One thread's memory objects; the bytes behind them are set at each run.
  struct Slot {
    dnnl::memory x, y, bias, plain_x, plain_y, weight, scratchpad;
  };

  void MakeConvolution(bool bias);
  template <typename Primitive>
  void MakePrimitive(const typename Primitive::desc& descriptor);
  void MakeSlots(bool bias);
  void PackWeights(const float* w);
  std::size_t SlotBytes() const;
  std::int64_t PartOutputs() const;
  bool RunPart(std::int64_t job, Slot& slot, const Arguments& arguments,
               std::byte* scratch) noexcept;
  void RunErased(const Arguments& arguments, OpContext& context, FinishCall call,
                 const void* finish);

  ConvShape shape_;
  bool bias_ = false;
  int threads_ = 0;
  bool ready_ = false;
  bool possible_ = false;

  std::int64_t parts_ = 1;         // of one image
  std::int64_t part_groups_ = 1;   // groups of one part
  std::int64_t part_outputs_ = 1;  // output channels of one group of a part

  dnnl::memory::desc plain_x_, plain_y_, plain_w_, x_, y_, w_, bias_desc_, scratchpad_;
  dnnl::primitive primitive_, reorder_x_, reorder_y_, reorder_w_;
  bool reorders_x_ = false, reorders_y_ = false;
  std::string kernel_;
  std::vector<Slot> slots_;
  dnnl::memory plain_weight_;
  AlignedBuffer weights_;  // packed, part by part
  bool packed_ = false;    // `weights_` holds the constant weight
};

}  // namespace espalier::runtime
