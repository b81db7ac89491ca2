#pragma once

#include "runtime/op.h"
#include "runtime/ops/conv_shape.h"

namespace espalier::runtime {

/// Whether ScatterConvTranspose() is the better way: strides that spread the input apart, where
/// oneDNN's kernels take up to three times as long.
bool SuitsScatter(const ConvShape& shape);

/// A float32 transposed convolution: a matrix product gives what each input element adds for each
/// kernel position, and that is added where it belongs. Output channels go to several threads in
/// blocks.
/// @param finish  Called as finish(y_begin, count) on each part as it is done, on its thread.
class ScatterConvTranspose {
 public:
  struct Arguments {
    const float* x = nullptr;
    const float* w = nullptr;
    const float* bias = nullptr;  ///< Null for none.
    float* y = nullptr;
  };

  template <typename Finish>
  static void Run(const ConvShape& shape, const Arguments& arguments, OpContext& context,
                  const Finish& finish) {
    RunErased(shape, arguments, context, &CallFinish<Finish>, &finish);
  }

 private:
  using FinishCall = void (*)(const void* finish, std::int64_t begin, std::int64_t count);
  template <typename Finish>
  static void CallFinish(const void* finish, std::int64_t begin, std::int64_t count) {
    (*static_cast<const Finish*>(finish))(begin, count);
  }
  static void RunErased(const ConvShape& shape, const Arguments& arguments, OpContext& context,
                        FinishCall call, const void* finish);
};

}  // namespace espalier::runtime
