#include <algorithm>
#include <array>

#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

struct CumulateShape {
  std::size_t outer;
  std::size_t size;
  std::size_t inner;
  bool exclusive;
  bool reverse;
};

// Floats are summed in double; integers wrap.
template <typename T>
void Cumulate(const T* x, const CumulateShape& shape, T* out) {
  using Sum = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                          std::type_identity<double>>::type;
  constexpr std::size_t kColumns = 64;
  std::array<Sum, kColumns> sums;
  for (std::size_t o = 0; o < shape.outer; ++o) {
    for (std::size_t begin = 0; begin < shape.inner; begin += kColumns) {
      const std::size_t count = std::min(kColumns, shape.inner - begin);
      sums.fill(0);
      for (std::size_t step = 0; step < shape.size; ++step) {
        const std::size_t i = shape.reverse ? shape.size - 1 - step : step;
        const std::size_t at = (o * shape.size + i) * shape.inner + begin;
        for (std::size_t j = 0; j < count; ++j) {
          const Sum before = sums[j];
          sums[j] = before + static_cast<Sum>(x[at + j]);
          out[at + j] = static_cast<T>(shape.exclusive ? before : sums[j]);
        }
      }
    }
  }
}

class CumSumOp final : public FloatOp {
 public:
  explicit CumSumOp(const OpBuild& build)
      : exclusive_(build.Int("exclusive", 0) != 0), reverse_(build.Int("reverse", 0) != 0) {}

 protected:
  void RunFloat(OpContext& context) override {
    const Value& x = context.Input(0);
    const std::size_t axis = CheckedAxis(ReadInt(context, 1), x.rank());
    Value& out = context.Output(0, x.dtype, x.dims);
    if (out.Elements() == 0) return;
    const CumulateShape shape = {Product(x.dims, 0, axis), static_cast<std::size_t>(x.dims[axis]),
                                 Product(x.dims, axis + 1, x.rank()), exclusive_, reverse_};
    Dispatch(TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>(),
             x.dtype, [&]<typename T>() { Cumulate(x.As<T>(), shape, out.As<T>()); });
  }

 private:
  const bool exclusive_;
  const bool reverse_;
};

constexpr OpEntry kEntries[] = {{"", "CumSum", &MakeOp<CumSumOp>}};

}  // namespace

std::span<const OpEntry> CumulateOps() { return kEntries; }

}  // namespace espalier::runtime
