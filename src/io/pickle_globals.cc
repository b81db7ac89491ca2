// The names that a pickle may mention.
#include <algorithm>
#include <iterator>

#include "io/pickle.h"

namespace espalier::internal {
namespace {

using Role = PickleRole;

// Everything else is refused by its name.
constexpr PickleGlobal kGlobals[] = {
    {"collections OrderedDict", Role::kOrderedDict},
    {"__builtin__ set", Role::kSet},
    {"builtins set", Role::kSet},
    {"torch Size", Role::kSize},
    {"torch device", Role::kDevice},
    {"_codecs encode", Role::kEncode},
    {"torch._utils _rebuild_tensor", Role::kTensor},
    {"torch._utils _rebuild_tensor_v2", Role::kTensorV2},
    {"torch._utils _rebuild_tensor_v3", Role::kTensorV3},
    {"torch._utils _rebuild_parameter", Role::kParameter},
    {"torch FloatStorage", Role::kStorage, DType::kFloat32},
    {"torch HalfStorage", Role::kStorage, DType::kFloat16},
    {"torch BFloat16Storage", Role::kStorage, DType::kBFloat16},
    {"torch DoubleStorage", Role::kStorage, DType::kFloat64},
    {"torch CharStorage", Role::kStorage, DType::kInt8},
    {"torch ByteStorage", Role::kStorage, DType::kUint8},
    {"torch ShortStorage", Role::kStorage, DType::kInt16},
    {"torch IntStorage", Role::kStorage, DType::kInt32},
    {"torch LongStorage", Role::kStorage, DType::kInt64},
    {"torch BoolStorage", Role::kStorage, DType::kBool},
    {"torch ComplexFloatStorage", Role::kStorage, DType::kComplex64},
    {"torch ComplexDoubleStorage", Role::kStorage, DType::kComplex128},
    {"torch.storage UntypedStorage", Role::kStorage},
    {"torch float32", Role::kDType, DType::kFloat32},
    {"torch float16", Role::kDType, DType::kFloat16},
    {"torch bfloat16", Role::kDType, DType::kBFloat16},
    {"torch float64", Role::kDType, DType::kFloat64},
    {"torch int8", Role::kDType, DType::kInt8},
    {"torch uint8", Role::kDType, DType::kUint8},
    {"torch int16", Role::kDType, DType::kInt16},
    {"torch uint16", Role::kDType, DType::kUint16},
    {"torch int32", Role::kDType, DType::kInt32},
    {"torch uint32", Role::kDType, DType::kUint32},
    {"torch int64", Role::kDType, DType::kInt64},
    {"torch uint64", Role::kDType, DType::kUint64},
    {"torch bool", Role::kDType, DType::kBool},
    {"torch complex64", Role::kDType, DType::kComplex64},
    {"torch complex128", Role::kDType, DType::kComplex128},
    {"torch float8_e4m3fn", Role::kDType, DType::kFloat8E4M3Fn},
    {"torch float8_e4m3fnuz", Role::kDType, DType::kFloat8E4M3Fnuz},
    {"torch float8_e5m2", Role::kDType, DType::kFloat8E5M2},
    {"torch float8_e5m2fnuz", Role::kDType, DType::kFloat8E5M2Fnuz},
    {"torch float8_e8m0fnu", Role::kDType, DType::kFloat8E8M0},
};

}  // namespace

std::optional<std::uint32_t> FindGlobal(std::string_view name) {
  const auto* const row = std::ranges::find(kGlobals, name, &PickleGlobal::name);
  if (row == std::end(kGlobals)) return std::nullopt;
  return static_cast<std::uint32_t>(row - std::begin(kGlobals));
}

const PickleGlobal& GlobalOf(const PickleValue& value) { return kGlobals[value.Number()]; }

}  // namespace espalier::internal
