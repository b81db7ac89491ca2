#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

#include "espalier/base/dtype.h"

namespace espalier::internal {

struct SafetensorsType {
  std::string_view name;
  DType dtype;
  unsigned bits;
};

// F6: this version has no name for them, but their size is known and therefore checked.
inline constexpr SafetensorsType kSafetensorsTypes[] = {
    {"F32", DType::kFloat32, 32},
    {"F16", DType::kFloat16, 16},
    {"BF16", DType::kBFloat16, 16},
    {"F64", DType::kFloat64, 64},
    {"I8", DType::kInt8, 8},
    {"U8", DType::kUint8, 8},
    {"I16", DType::kInt16, 16},
    {"U16", DType::kUint16, 16},
    {"I32", DType::kInt32, 32},
    {"U32", DType::kUint32, 32},
    {"I64", DType::kInt64, 64},
    {"U64", DType::kUint64, 64},
    {"BOOL", DType::kBool, 8},
    {"C64", DType::kComplex64, 64},
    {"F8_E4M3", DType::kFloat8E4M3Fn, 8},
    {"F8_E4M3FNUZ", DType::kFloat8E4M3Fnuz, 8},
    {"F8_E5M2", DType::kFloat8E5M2, 8},
    {"F8_E5M2FNUZ", DType::kFloat8E5M2Fnuz, 8},
    {"F8_E8M0", DType::kFloat8E8M0, 8},
    {"F6_E2M3", DType::kUnknown, 6},
    {"F6_E3M2", DType::kUnknown, 6},
    {"F4", DType::kFloat4, 4},
};

/// The type that the format calls `name`; null if there is none.
inline const SafetensorsType* FindSafetensorsType(std::string_view name) {
  const auto* row = std::ranges::find(kSafetensorsTypes, name, &SafetensorsType::name);
  return row == std::end(kSafetensorsTypes) ? nullptr : row;
}

/// The format's name of a type; null if it has none.
inline const SafetensorsType* FindSafetensorsType(DType dtype) {
  if (dtype == DType::kUnknown) return nullptr;
  const auto* row = std::ranges::find(kSafetensorsTypes, dtype, &SafetensorsType::dtype);
  return row == std::end(kSafetensorsTypes) ? nullptr : row;
}

}  // namespace espalier::internal
