#pragma once

#include <array>
#include <type_traits>

#include "runtime/ops/broadcast.h"

namespace espalier::runtime {

/// What the loops over one run of elements get besides the elements.
struct RunShape {
  std::size_t a_step = 1;  ///< 1, or 0 if the operand's only element repeats.
  std::size_t b_step = 1;
  std::size_t count = 0;
};

/// out[i] = f(a[i * a_step], b[i * b_step]); `out` may be `a`.
using BinaryLoop = void (*)(const RunShape& run, const std::byte* a, const std::byte* b,
                            std::byte* out);

/// A loop for each element type that an operator takes, by DType; null for the others.
struct BinaryTable {
  std::array<BinaryLoop, static_cast<std::size_t>(DType::kString) + 1> loops{};
  bool bool_result = false;

  /// @throws Error  kUnsupported if there is none.
  BinaryLoop For(DType dtype) const;
};

template <typename F, typename T>
void RunBinary(const RunShape& run, const std::byte* a_bytes, const std::byte* b_bytes,
               std::byte* out_bytes) {
  using R = decltype(F::Of(T(), T()));
  const T* a = reinterpret_cast<const T*>(a_bytes);
  const T* b = reinterpret_cast<const T*>(b_bytes);
  R* out = reinterpret_cast<R*>(out_bytes);
  if constexpr (std::is_floating_point_v<T>) {  // three loops that the compiler makes vectors of
    if (run.a_step == 1 && run.b_step == 1) {
      for (std::size_t i = 0; i < run.count; ++i) out[i] = F::Of(a[i], b[i]);
      return;
    }
    if (run.a_step == 1) {
      const T scalar = *b;
      for (std::size_t i = 0; i < run.count; ++i) out[i] = F::Of(a[i], scalar);
      return;
    }
    if (run.b_step == 1) {
      const T scalar = *a;
      for (std::size_t i = 0; i < run.count; ++i) out[i] = F::Of(scalar, b[i]);
      return;
    }
  }
  for (std::size_t i = 0; i < run.count; ++i) {
    out[i] = F::Of(a[i * run.a_step], b[i * run.b_step]);
  }
}

/// For operators that do the same to the bits of signed and unsigned numbers.
template <typename T>
struct SignlessType {
  using Type = T;
};
template <typename T>
requires std::is_integral_v<T>
struct SignlessType<T> {
  using Type = std::make_unsigned_t<T>;
};

/// @tparam F  Of(T, T) for each type of the list; kSignless where the sign does not matter.
template <typename F, typename... Ts>
constexpr BinaryTable MakeBinaryTable(TypeList<Ts...>) {
  BinaryTable table;
  const auto add = [&]<typename T>() {
    using U = std::conditional_t<F::kSignless, typename SignlessType<T>::Type, T>;
    table.loops[static_cast<std::size_t>(kDTypeOf<T>)] = &RunBinary<F, U>;
    table.bool_result = std::is_same_v<decltype(F::Of(U(), U())), Bool>;
  };
  (add.template operator()<Ts>(), ...);
  return table;
}

/// An operator of two inputs of one type, with broadcasting.
class BinaryOp : public FloatOp {
 public:
  BinaryOp(const OpBuild& build, const BinaryTable& table);

 protected:
  void RunFloat(OpContext& context) override;

 private:
  const BinaryTable& table_;
  bool legacy_axis_ = false;  // opset < 7: where the second input's axes lie in the first's
  std::int64_t axis_ = 0;
  Dims aligned_;
  Broadcast broadcast_;
};

/// The dimensions of the second input of an arithmetic operator of opset < 7, whose first axis lies
/// at `axis` of the first input's.
void AlignLegacyAxis(const Dims& a, const Dims& b, std::int64_t axis, Dims* aligned);

/// out = loop(a, b) over a planned broadcast.
void RunLoop(const Broadcast& broadcast, int threads, BinaryLoop loop, const Value& a,
             const Value& b, Value& out);

template <const BinaryTable& kTable>
std::unique_ptr<Op> MakeBinary(const OpBuild& build) {
  return std::make_unique<BinaryOp>(build, kTable);
}

// The parts of ElementwiseOps().
std::span<const OpEntry> ArithmeticOps();
std::span<const OpEntry> ComparisonOps();  // comparisons, logic, bits
std::span<const OpEntry> UnaryOps();
std::span<const OpEntry> ActivationOps();
std::span<const OpEntry> CastOps();
std::span<const OpEntry> SelectOps();  // Where, Clip, Identity, Dropout

}  // namespace espalier::runtime
