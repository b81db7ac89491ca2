#pragma once

#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

/// An operator that computes in float32 or float64 and takes float16 and bfloat16 by way of
/// float32: such inputs come widened, and float32 outputs are rounded back to the type of input 0.
class FloatOp : public Op {
 public:
  void Run(OpContext& context) final;

 protected:
  /// Run() with no narrow floats among the inputs.
  virtual void RunFloat(OpContext& context) = 0;

  /// Whether output `i` is float32 whatever the inputs are.
  virtual bool StaysFloat32(std::size_t i) const {
    static_cast<void>(i);
    return false;
  }

 private:
  class WideContext;
  struct Wide {
    AlignedBuffer buffer;
    Value value;
    bool used = false;
  };

  // Kept from run to run for their memory.
  std::vector<Wide> inputs_;
  std::vector<Wide> outputs_;
};

/// @throws Error  kBadFile unless the type is float32 or float64.
void CheckFloat(const Value& value, const char* what);

/// The bits of the nearest float16 or bfloat16; ties to even, NaN stays NaN.
std::uint16_t FloatToHalf(float value) noexcept;
std::uint16_t FloatToBFloat16(float value) noexcept;

}  // namespace espalier::runtime
