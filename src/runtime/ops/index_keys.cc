#include "runtime/ops/index_keys.h"

#include <bit>
#include <cmath>

namespace espalier::runtime {
namespace {

// Bits of a float: the larger the number, the larger the result.
template <typename Bits>
Bits FloatKey(Bits bits, bool is_zero, bool is_nan) {
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  if (is_nan) return static_cast<Bits>(~Bits{0});
  if (is_zero) return kSign;
  return static_cast<Bits>((bits & kSign) != 0 ? ~bits : bits | kSign);
}

template <typename T>
std::uint64_t KeyOf(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return FloatKey(x.bits, x == 0, std::isnan(static_cast<float>(x)));
  } else if constexpr (std::is_same_v<T, Bool>) {
    return x ? 1 : 0;
  } else if constexpr (std::is_same_v<T, float>) {
    return FloatKey(std::bit_cast<std::uint32_t>(x), x == 0, std::isnan(x));
  } else if constexpr (std::is_same_v<T, double>) {
    return FloatKey(std::bit_cast<std::uint64_t>(x), x == 0, std::isnan(x));
  } else if constexpr (std::is_signed_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<U>(static_cast<U>(x) ^ (U{1} << (8 * sizeof(U) - 1)));
  } else {
    return x;
  }
}

}  // namespace

void OrderKeys(DType dtype, const std::byte* x, std::size_t stride, std::size_t count,
               std::uint64_t* keys) {
  Dispatch(Join<Join<NumberTypes, NarrowTypes>, TypeList<Bool>>(), dtype, [&]<typename T>() {
    const T* elements = reinterpret_cast<const T*>(x);
    for (std::size_t i = 0; i < count; ++i) keys[i] = KeyOf(elements[i * stride]);
  });
}

}  // namespace espalier::runtime
