#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace espalier {

/// Element type of a stored tensor. Every type of ONNX and safetensors has a value here, so that a
/// tensor that Espalier does not touch still has a name and a size.
enum class DType : std::uint8_t {
  kUnknown,
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat64,
  kInt8,
  kUint8,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kInt64,
  kUint64,
  kBool,
  kComplex64,
  kComplex128,
  kFloat8E4M3Fn,
  kFloat8E4M3Fnuz,
  kFloat8E5M2,
  kFloat8E5M2Fnuz,
  kFloat8E8M0,
  kInt4,    ///< Two elements a byte.
  kUint4,   ///< Two elements a byte.
  kFloat4,  ///< Two elements a byte.
  kString,  ///< No fixed size.
};

/// Lower-case name, as in tables and error texts: "float32", "bfloat16", "int8", ...
std::string_view DTypeName(DType dtype) noexcept;

/// Bits an element takes; 0 for kString and kUnknown.
std::size_t DTypeBits(DType dtype) noexcept;

/// Whether Espalier prunes weights of this type: float32, float16, bfloat16, float64, int8, uint8.
bool IsPrunableDType(DType dtype) noexcept;

/// Whether the type is one of the four IEEE-like float types that are prunable.
bool IsFloatDType(DType dtype) noexcept;

/// The float value of IEEE binary16 bits; exact.
float HalfToFloat(std::uint16_t bits) noexcept;

/// The float value of bfloat16 bits; exact.
float BFloat16ToFloat(std::uint16_t bits) noexcept;

}  // namespace espalier
