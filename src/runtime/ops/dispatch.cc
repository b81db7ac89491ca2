#include "runtime/ops/dispatch.h"

namespace espalier::runtime {

std::size_t ElementBytes(DType dtype) {
  const std::size_t bits = DTypeBits(dtype);
  if (bits == 0 || bits % 8 != 0) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the operator does not run on {}", DTypeName(dtype)));
  }
  return bits / 8;
}

void CheckSameType(const Value& a, const Value& b) {
  if (a.dtype == b.dtype) return;
  throw Error(ErrorCode::kBadFile,
              fmt::format("inputs of types {} and {}", DTypeName(a.dtype), DTypeName(b.dtype)));
}

const Value& InputOf(const OpContext& context, std::size_t i, DType dtype) {
  const Value& value = context.Input(i);
  if (value.dtype == dtype) return value;
  throw Error(ErrorCode::kBadFile, fmt::format("input {} is {}, expected {}", i,
                                               DTypeName(value.dtype), DTypeName(dtype)));
}

void ReadInts(const OpContext& context, std::size_t i, std::vector<std::int64_t>* out) {
  const Value& value = context.Input(i);
  if (value.rank() > 1) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("input {} has {} dimensions, expected a list", i, value.rank()));
  }
  const std::size_t count = value.Elements();
  if (value.dtype == DType::kInt64) {
    out->assign(value.As<std::int64_t>(), value.As<std::int64_t>() + count);
  } else if (value.dtype == DType::kInt32) {
    out->assign(value.As<std::int32_t>(), value.As<std::int32_t>() + count);
  } else {
    throw Error(ErrorCode::kBadFile,
                fmt::format("input {} is {}, expected int64 or int32", i, DTypeName(value.dtype)));
  }
}

std::int64_t ReadInt(const OpContext& context, std::size_t i) {
  const Value& value = context.Input(i);
  const std::size_t count = value.Elements();
  if (count == 1 && value.dtype == DType::kInt64) return *value.As<std::int64_t>();
  if (count == 1 && value.dtype == DType::kInt32) return *value.As<std::int32_t>();
  throw Error(ErrorCode::kBadFile, fmt::format("input {} has {} elements of {}, expected one int64",
                                               i, count, DTypeName(value.dtype)));
}

double ReadNumber(const Value& value) {
  if (value.Elements() != 1) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} elements where one is expected", value.Elements()));
  }
  double number = 0;
  Dispatch(Join<NumberTypes, NarrowTypes>(), value.dtype,
           [&]<typename T>() { number = static_cast<double>(*value.As<T>()); });
  return number;
}

std::size_t Product(const Dims& dims, std::size_t begin, std::size_t end) {
  std::size_t product = 1;
  for (std::size_t i = begin; i < end; ++i) product *= static_cast<std::size_t>(dims[i]);
  return product;
}

}  // namespace espalier::runtime
