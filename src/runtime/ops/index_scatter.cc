#include <algorithm>
#include <cstring>

#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

// Block offsets[i] of `out` = f(itself, block i of `updates`), in the order of i.
struct Update {
  std::byte* out;
  const std::byte* updates;
  const Offsets* offsets;
  std::size_t block;  // elements
};

template <typename T>
T Added(T a, T b) {
  if constexpr (std::is_same_v<T, Bool>) {
    return T(a || b);
  } else {
    return static_cast<T>(a + b);
  }
}
template <typename T>
T Multiplied(T a, T b) {
  if constexpr (std::is_same_v<T, Bool>) {
    return T(a && b);
  } else if constexpr (std::is_integral_v<T> && sizeof(T) < sizeof(int)) {
    return static_cast<T>(1U * a * b);  // uint16_t would be multiplied as int
  } else {
    return static_cast<T>(a * b);
  }
}
template <typename T>
T Larger(T a, T b) {
  return b > a ? b : a;
}
template <typename T>
T Smaller(T a, T b) {
  return b < a ? b : a;
}

template <typename T, T (*kCombine)(T, T)>
void Combine(const Update& update) {
  T* out = reinterpret_cast<T*>(update.out);
  const T* updates = reinterpret_cast<const T*>(update.updates);
  for (const std::size_t offset : *update.offsets) {
    T* target = out + offset * update.block;
    for (std::size_t i = 0; i < update.block; ++i) target[i] = kCombine(target[i], updates[i]);
    updates += update.block;
  }
}

template <typename T>
void Replace(const Update& update) {
  const std::byte* updates = update.updates;
  const std::size_t bytes = update.block * sizeof(T);
  for (const std::size_t offset : *update.offsets) {
    if (bytes == sizeof(T)) {
      std::memcpy(update.out + offset * sizeof(T), updates, sizeof(T));
    } else {
      std::memcpy(update.out + offset * bytes, updates, bytes);
    }
    updates += bytes;
  }
}

enum class Reduction : unsigned char { kNone, kAdd, kMul, kMin, kMax };

Reduction ReductionOf(const OpBuild& build) {
  const std::string name = build.String("reduction", "none");
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "min") return Reduction::kMin;
  if (name == "max") return Reduction::kMax;
  build.Refuse(fmt::format("reduction '{}'", name));
}

using AllTypes = Join<Join<NumberTypes, NarrowTypes>, TypeList<Bool>>;
// Sums and products of integers wrap, whatever the sign.
using SignlessTypes = Join<Join<FloatTypes, UnsignedTypes>, Join<NarrowTypes, TypeList<Bool>>>;

DType Signless(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
      return DType::kUint8;
    case DType::kInt16:
      return DType::kUint16;
    case DType::kInt32:
      return DType::kUint32;
    case DType::kInt64:
      return DType::kUint64;
    default:
      return dtype;
  }
}

void Apply(Reduction reduction, DType dtype, const Update& update) {
  switch (reduction) {
    case Reduction::kNone:
      return DispatchSize(ElementBytes(dtype), [&]<typename T>() { Replace<T>(update); });
    case Reduction::kAdd:
      return Dispatch(SignlessTypes(), Signless(dtype),
                      [&]<typename T>() { Combine<T, Added<T>>(update); });
    case Reduction::kMul:
      return Dispatch(SignlessTypes(), Signless(dtype),
                      [&]<typename T>() { Combine<T, Multiplied<T>>(update); });
    case Reduction::kMin:
      return Dispatch(AllTypes(), dtype, [&]<typename T>() { Combine<T, Smaller<T>>(update); });
    case Reduction::kMax:
      return Dispatch(AllTypes(), dtype, [&]<typename T>() { Combine<T, Larger<T>>(update); });
  }
}

void CheckUpdateDims(const Value& updates, const Dims& expected) {
  if (updates.dims == expected) return;
  throw Error(ErrorCode::kBadFile,
              fmt::format("updates {}, expected {}", DimsText(updates.dims), DimsText(expected)));
}

// What all have in common: the output begins as a copy of the data.
class ScatterBase : public Op {
 public:
  explicit ScatterBase(const OpBuild& build) : reduction_(ReductionOf(build)) {}

 protected:
  void Finish(OpContext& context, std::size_t block) {
    const Value& data = context.Input(0);
    const Value& updates = context.Input(2);
    CheckSameType(data, updates);
    Value& out = context.Output(0, data.dtype, data.dims);
    if (out.Elements() == 0) return;
    std::memcpy(out.data, data.data, data.Bytes());
    Apply(reduction_, data.dtype, {out.data, updates.data, &offsets_, block});
  }

  Offsets offsets_;

 private:
  const Reduction reduction_;
};

class ScatterElementsOp final : public ScatterBase {
 public:
  explicit ScatterElementsOp(const OpBuild& build)
      : ScatterBase(build), axis_(build.Int("axis", 0)) {}

  void Run(OpContext& context) override {
    const Value& data = context.Input(0);
    const Value& indices = context.Input(1);
    CheckUpdateDims(context.Input(2), indices.dims);
    ElementOffsets(indices, data.dims, CheckedAxis(axis_, data.rank()), &offsets_);
    Finish(context, 1);
  }

 private:
  const std::int64_t axis_;
};

class ScatterNdOp final : public ScatterBase {
 public:
  using ScatterBase::ScatterBase;

  void Run(OpContext& context) override {
    const Value& data = context.Input(0);
    const Value& indices = context.Input(1);
    TupleOffsets(indices, data.dims, 0, &offsets_);
    const auto first = static_cast<std::size_t>(indices.dims.back());
    dims_.assign(indices.dims.begin(), indices.dims.end() - 1);
    dims_.insert(dims_.end(), data.dims.begin() + static_cast<std::ptrdiff_t>(first),
                 data.dims.end());
    CheckUpdateDims(context.Input(2), dims_);
    Finish(context, Product(data.dims, first, data.rank()));
  }

 private:
  Dims dims_;
};

constexpr OpEntry kEntries[] = {
    {"", "Scatter", &MakeOp<ScatterElementsOp>},
    {"", "ScatterElements", &MakeOp<ScatterElementsOp>},
    {"", "ScatterND", &MakeOp<ScatterNdOp>},
};

}  // namespace

std::span<const OpEntry> ScatterOps() { return kEntries; }

}  // namespace espalier::runtime
