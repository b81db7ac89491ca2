#include "runtime/ops/float_op.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

namespace espalier::runtime {
namespace {

bool IsNarrow(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16; }

void Widen(const Value& from, float* to) {
  const auto* bits = from.As<std::uint16_t>();
  const std::size_t count = from.Elements();
  const bool half = from.dtype == DType::kFloat16;
  for (std::size_t i = 0; i < count; ++i) {
    to[i] = half ? HalfToFloat(bits[i]) : BFloat16ToFloat(bits[i]);
  }
}

void Narrow(const float* from, Value* to) {
  auto* bits = to->As<std::uint16_t>();
  const std::size_t count = to->Elements();
  const bool half = to->dtype == DType::kFloat16;
  for (std::size_t i = 0; i < count; ++i) {
    bits[i] = half ? FloatToHalf(from[i]) : FloatToBFloat16(from[i]);
  }
}

}  // namespace

// Shows the inputs as float32 and keeps float32 outputs back until Finish().
class FloatOp::WideContext final : public OpContext {
 public:
  WideContext(OpContext& base, FloatOp& op) : base_(base), op_(op), narrow_(base.Input(0).dtype) {
    op_.inputs_.resize(std::max(op_.inputs_.size(), base.InputCount()));
    op_.outputs_.resize(std::max(op_.outputs_.size(), base.OutputCount()));
    for (Wide& output : op_.outputs_) output.used = false;
    for (std::size_t i = 0; i < base.InputCount(); ++i) {
      Wide& wide = op_.inputs_[i];
      wide.used = base.HasInput(i) && IsNarrow(base.Input(i).dtype);
      if (!wide.used) continue;
      const Value& input = base.Input(i);
      wide.value.dtype = DType::kFloat32;
      wide.value.dims = input.dims;
      wide.value.data = wide.buffer.Reserve(input.Bytes() * 2);
      Widen(input, wide.value.As<float>());
      if (!IsNarrow(narrow_)) narrow_ = input.dtype;
    }
  }

  std::size_t InputCount() const override { return base_.InputCount(); }
  bool HasInput(std::size_t i) const override { return base_.HasInput(i); }
  const Value& Input(std::size_t i) const override {
    return i < op_.inputs_.size() && op_.inputs_[i].used ? op_.inputs_[i].value : base_.Input(i);
  }
  bool IsConstant(std::size_t i) const override { return base_.IsConstant(i); }
  std::size_t OutputCount() const override { return base_.OutputCount(); }
  bool HasOutput(std::size_t i) const override { return base_.HasOutput(i); }

  Value& Output(std::size_t i, DType dtype, const Dims& dims) override {
    if (dtype != DType::kFloat32 || op_.StaysFloat32(i)) return base_.Output(i, dtype, dims);
    Wide& wide = op_.outputs_.at(i);
    wide.used = true;
    wide.value.dtype = dtype;
    wide.value.dims = dims;
    wide.value.data = wide.buffer.Reserve(static_cast<std::size_t>(TensorByteCount(dtype, dims)));
    return wide.value;
  }
  Value& OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                    std::size_t byte_offset) override {
    return base_.OutputView(i, input, dtype, dims, byte_offset);
  }
  int threads() const override { return base_.threads(); }
  std::byte* Scratch(std::size_t bytes) override { return base_.Scratch(bytes); }

  void Finish() {
    for (std::size_t i = 0; i < base_.OutputCount(); ++i) {
      Wide& wide = op_.outputs_[i];
      if (!wide.used) continue;
      Narrow(wide.value.As<float>(), &base_.Output(i, narrow_, wide.value.dims));
    }
  }

 private:
  OpContext& base_;
  FloatOp& op_;
  DType narrow_;
};

void FloatOp::Run(OpContext& context) {
  for (std::size_t i = 0; i < context.InputCount(); ++i) {
    if (!context.HasInput(i) || !IsNarrow(context.Input(i).dtype)) continue;
    WideContext wide(context, *this);
    RunFloat(wide);
    wide.Finish();
    return;
  }
  RunFloat(context);
}

void CheckFloat(const Value& value, const char* what) {
  if (value.dtype == DType::kFloat32 || value.dtype == DType::kFloat64) return;
  throw Error(ErrorCode::kBadFile,
              fmt::format("{} is {}, expected a float type", what, DTypeName(value.dtype)));
}

std::uint16_t FloatToBFloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

std::uint16_t FloatToHalf(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return sign | 0x7E00;   // NaN
  if (magnitude >= 0x477FF000) return sign | 0x7C00;  // 65520 and more: infinity
  if (magnitude < 0x38800000) {                       // below 2^-14: a multiple of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(scaled)));
  }
  const std::uint32_t rounded = magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1);
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

}  // namespace espalier::runtime
