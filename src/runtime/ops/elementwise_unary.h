#pragma once

#include <array>

#include "espalier/kernels/map_row.h"
#include "runtime/ops/dispatch.h"

namespace espalier::runtime {

/// The numbers that activations take from their attributes.
struct UnaryNumbers {
  float alpha = 0;
  float beta = 0;
};

/// out[i] = f(x[i]).
using UnaryLoop = void (*)(const UnaryNumbers& numbers, const std::byte* x, std::byte* out,
                           std::size_t count);

struct UnaryTable {
  std::array<UnaryLoop, static_cast<std::size_t>(DType::kString) + 1> loops{};
  bool bool_result = false;

  constexpr void Set(DType dtype, UnaryLoop loop) { loops[static_cast<std::size_t>(dtype)] = loop; }
  UnaryLoop Get(DType dtype) const { return loops[static_cast<std::size_t>(dtype)]; }
};

template <typename F, typename T>
void RunUnary(const UnaryNumbers& numbers, const std::byte* x_bytes, std::byte* out_bytes,
              std::size_t count) {
  using R = decltype(F::Of(T(), numbers));
  const T* x = reinterpret_cast<const T*>(x_bytes);
  R* out = reinterpret_cast<R*>(out_bytes);
  const UnaryNumbers local = numbers;  // the stores below cannot change it
  for (std::size_t i = 0; i < count; ++i) out[i] = F::Of(x[i], local);
}

/// @tparam F  Of(T, UnaryNumbers) for each type of the list.
template <typename F, typename... Ts>
constexpr UnaryTable MakeUnaryTable(TypeList<Ts...>) {
  UnaryTable table;
  (table.Set(kDTypeOf<Ts>, &RunUnary<F, Ts>), ...);
  table.bool_result = (std::is_same_v<decltype(F::Of(Ts(), UnaryNumbers())), Bool> || ...);
  return table;
}

class UnaryOp final : public FloatOp {
 public:
  UnaryOp(const UnaryTable& table, UnaryNumbers numbers) : table_(table), numbers_(numbers) {}

 protected:
  void RunFloat(OpContext& context) override;

 private:
  const UnaryTable& table_;
  const UnaryNumbers numbers_;
};

/// A table whose float32 loop is the vector kernel.
template <MapKind kKind>
void RunMap(const UnaryNumbers&, const std::byte* x, std::byte* out, std::size_t count) {
  MapRow(kKind, reinterpret_cast<const float*>(x), reinterpret_cast<float*>(out), count);
}
template <typename F, MapKind kKind>
inline constexpr UnaryTable kMapped = [] {
  UnaryTable table = MakeUnaryTable<F>(TypeList<double>());
  table.Set(DType::kFloat32, &RunMap<kKind>);
  return table;
}();

template <const UnaryTable& kTable>
std::unique_ptr<Op> MakeUnary(const OpBuild&) {
  return std::make_unique<UnaryOp>(kTable, UnaryNumbers());
}

}  // namespace espalier::runtime
