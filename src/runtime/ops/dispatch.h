#pragma once

#include <fmt/format.h>

#include <cstdint>

#include "runtime/op.h"
#include "runtime/ops/float_op.h"

namespace espalier::runtime {

/// float16 and bfloat16 where they are worked on one by one.
struct Half {
  std::uint16_t bits = 0;
  Half() = default;
  explicit Half(float value) : bits(FloatToHalf(value)) {}
  operator float() const { return HalfToFloat(bits); }
};
struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) : bits(FloatToBFloat16(value)) {}
  operator float() const { return BFloat16ToFloat(bits); }
};
/// A bool as tensors hold it; any byte but 0 is true.
struct Bool {
  std::uint8_t byte = 0;
  Bool() = default;
  explicit Bool(bool value) : byte(value ? 1 : 0) {}
  operator bool() const { return byte != 0; }
};

template <typename T>
inline constexpr DType kDTypeOf = DType::kUnknown;
template <>
inline constexpr DType kDTypeOf<float> = DType::kFloat32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kFloat64;
template <>
inline constexpr DType kDTypeOf<Half> = DType::kFloat16;
template <>
inline constexpr DType kDTypeOf<BFloat16> = DType::kBFloat16;
template <>
inline constexpr DType kDTypeOf<Bool> = DType::kBool;
template <>
inline constexpr DType kDTypeOf<std::int8_t> = DType::kInt8;
template <>
inline constexpr DType kDTypeOf<std::uint8_t> = DType::kUint8;
template <>
inline constexpr DType kDTypeOf<std::int16_t> = DType::kInt16;
template <>
inline constexpr DType kDTypeOf<std::uint16_t> = DType::kUint16;
template <>
inline constexpr DType kDTypeOf<std::int32_t> = DType::kInt32;
template <>
inline constexpr DType kDTypeOf<std::uint32_t> = DType::kUint32;
template <>
inline constexpr DType kDTypeOf<std::int64_t> = DType::kInt64;
template <>
inline constexpr DType kDTypeOf<std::uint64_t> = DType::kUint64;

template <typename... Ts>
struct TypeList {};

template <typename A, typename B>
struct JoinLists;
template <typename... As, typename... Bs>
struct JoinLists<TypeList<As...>, TypeList<Bs...>> {
  using Type = TypeList<As..., Bs...>;
};
template <typename A, typename B>
using Join = typename JoinLists<A, B>::Type;

using FloatTypes = TypeList<float, double>;
using NarrowTypes = TypeList<Half, BFloat16>;
using SignedTypes = TypeList<std::int8_t, std::int16_t, std::int32_t, std::int64_t>;
using UnsignedTypes = TypeList<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;
using IntTypes = Join<SignedTypes, UnsignedTypes>;
using NumberTypes = Join<FloatTypes, IntTypes>;

/// Calls body.operator()<T>() for the type of the list that `dtype` is.
/// @throws Error  kUnsupported if it is none of them.
template <typename... Ts, typename Body>
void Dispatch(TypeList<Ts...>, DType dtype, const Body& body) {
  const bool found = ((dtype == kDTypeOf<Ts> && (body.template operator()<Ts>(), true)) || ...);
  if (found) return;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the operator does not run on {}", DTypeName(dtype)));
}

/// 16 bytes that are only moved.
struct Bytes16 {
  std::uint64_t words[2];
};

/// The same with a type of `bytes` bytes, for what only moves elements.
template <typename Body>
void DispatchSize(std::size_t bytes, const Body& body) {
  switch (bytes) {
    case 1:
      return body.template operator()<std::uint8_t>();
    case 2:
      return body.template operator()<std::uint16_t>();
    case 4:
      return body.template operator()<std::uint32_t>();
    case 8:
      return body.template operator()<std::uint64_t>();
    case 16:
      return body.template operator()<Bytes16>();
    default:
      throw Error(ErrorCode::kInternal, fmt::format("elements of {} bytes", bytes));
  }
}

/// Whole bytes of an element.
/// @throws Error  kUnsupported for strings and types below a byte.
std::size_t ElementBytes(DType dtype);

/// @throws Error  kBadFile, with both, unless they are the same.
void CheckSameType(const Value& a, const Value& b);

/// @throws Error  kBadFile unless input `i` has this type.
const Value& InputOf(const OpContext& context, std::size_t i, DType dtype);

/// Elements of an integer input, for shapes and axes, in memory that is kept.
/// @throws Error  kBadFile unless it is int64 or int32 and of at most one dimension.
void ReadInts(const OpContext& context, std::size_t i, std::vector<std::int64_t>* out);

/// The only element of an integer input.
/// @throws Error  kBadFile if it has another type or more elements.
std::int64_t ReadInt(const OpContext& context, std::size_t i);

/// The only element of a number input, as a double.
/// @throws Error  kBadFile if it has more elements.
double ReadNumber(const Value& value);

/// Product of dims[begin, end).
std::size_t Product(const Dims& dims, std::size_t begin, std::size_t end);

/// Where a loop over `count` elements splits into `parts`: begin of part `i`; the multiple of 64
/// next below the even split.
inline std::size_t PartBegin(std::size_t count, std::size_t parts, std::size_t i) {
  return i == parts ? count : count / parts * i / 64 * 64;
}

/// Below this many elements a loop stays on one thread.
inline constexpr std::size_t kParallelElements = std::size_t{1} << 16;

}  // namespace espalier::runtime
