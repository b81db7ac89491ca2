#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

std::unique_ptr<Op> MakeQuantizeLinear(const OpBuild& build);
std::unique_ptr<Op> MakeDequantizeLinear(const OpBuild& build);
std::unique_ptr<Op> MakeDynamicQuantizeLinear(const OpBuild& build);
std::unique_ptr<Op> MakeMatMulInteger(const OpBuild& build);
std::unique_ptr<Op> MakeQLinearMatMul(const OpBuild& build);
std::unique_ptr<Op> MakeConvInteger(const OpBuild& build);
std::unique_ptr<Op> MakeQLinearConv(const OpBuild& build);

/// Elements of an int8 or uint8 tensor less a zero point, as int32.
/// @param zero  Of 1 element, or one for each of `parts`; null for 0. Element i belongs to part
///              i / inner % parts.
/// @throws Error  kBadFile for other types or sizes.
void ReadCentred(const Value& value, const Value* zero, std::int64_t parts, std::int64_t inner,
                 std::vector<std::int32_t>* out);

/// Scales, or zero points, as doubles.
/// @throws Error  kBadFile unless there is 1 or `parts`.
void ReadScales(const Value& value, std::int64_t parts, std::vector<double>* out);

/// round(value) + zero, ties to even, held to int8 or uint8.
void StoreQuantized(DType dtype, double value, double zero, std::byte* to);

}  // namespace espalier::runtime
