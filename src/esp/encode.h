#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "esp/packing.h"
#include "espalier/graph/tensor.h"

namespace espalier::internal {

/// A constant as it will be stored.
struct EncodedConstant {
  Packing packing;
  std::vector<std::byte> payload;  ///< Empty for kRaw of exact values: the tensor's own bytes.
  std::uint64_t payload_bytes = 0;
  double max_error = 0;  ///< Largest |stored - original|.
  std::string note;      ///< Why `values` was not taken; empty if it was.
};

/// Chooses the smallest encoding of a tensor and applies it; of equal ones the quicker to read.
/// @param values  For float32 tensors: the type of the values. Where one of them would become
///                infinite, or is no finite number, all stay exact.
EncodedConstant EncodeTensor(const Tensor& tensor, ValueType values);

}  // namespace espalier::internal
