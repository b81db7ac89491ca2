#include <cmath>
#include <limits>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {
namespace {

// What x86 does with numbers out of range, as ONNX Runtime has it: the lowest number; types of 8
// and 16 bits take the low bits of an int32, uint32 those of an int64.
template <typename To, typename From>
To FloatToInt(From x) {
  if constexpr (sizeof(To) == 8 && std::is_unsigned_v<To>) {
    if (x >= From(0x1p63) && x < From(0x1p64)) return static_cast<To>(x);
  }
  if constexpr (sizeof(To) == 8 || (sizeof(To) == 4 && std::is_unsigned_v<To>)) {
    const bool fits = x >= From(-0x1p63) && x < From(0x1p63);
    const std::int64_t wide =
        fits ? static_cast<std::int64_t>(x) : std::numeric_limits<std::int64_t>::min();
    return static_cast<To>(wide);
  } else {
    const double wide_x = static_cast<double>(x);
    const bool fits = wide_x > -2147483649.0 && wide_x < 2147483648.0;
    const std::int32_t wide =
        fits ? static_cast<std::int32_t>(wide_x) : std::numeric_limits<std::int32_t>::min();
    return static_cast<To>(wide);
  }
}

template <typename To, typename From>
To Converted(From x) {
  if constexpr (std::is_same_v<To, Bool>) {
    return Bool(x != From(0));
  } else if constexpr (std::is_same_v<From, Bool>) {
    return static_cast<To>(static_cast<float>(bool(x)));
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    return FloatToInt<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

using CastLoop = void (*)(const std::byte* from, std::byte* to, std::size_t count);

template <typename From, typename To>
void RunCast(const std::byte* from_bytes, std::byte* to_bytes, std::size_t count) {
  const From* from = reinterpret_cast<const From*>(from_bytes);
  To* to = reinterpret_cast<To*>(to_bytes);
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
      to[i] = Converted<To>(static_cast<float>(from[i]));
    } else {
      to[i] = Converted<To>(from[i]);
    }
  }
}

using CastTypes = Join<Join<NumberTypes, NarrowTypes>, TypeList<Bool>>;

CastLoop LoopOf(DType from, DType to) {
  CastLoop loop = nullptr;
  Dispatch(CastTypes(), from, [&]<typename From>() {
    Dispatch(CastTypes(), to, [&]<typename To>() { loop = &RunCast<From, To>; });
  });
  return loop;
}

void RunCastOp(OpContext& context, DType to) {
  const Value& x = context.Input(0);
  const DType from = x.dtype;
  if (from == to) {
    context.OutputView(0, 0, to, x.dims);
    return;
  }
  const CastLoop loop = LoopOf(from, to);
  Value& out = context.Output(0, to, x.dims);
  const std::size_t count = x.Elements();
  if (context.threads() <= 1 || count < kParallelElements) return loop(x.data, out.data, count);
  const auto parts = static_cast<std::size_t>(context.threads());
  ThreadPool::Shared().Run(context.threads(), parts, [&](std::size_t i) {
    const std::size_t begin = PartBegin(count, parts, i);
    loop(x.data + begin * ElementBytes(from), out.data + begin * ElementBytes(to),
         PartBegin(count, parts, i + 1) - begin);
  });
}

DType DTypeOfOnnx(std::int64_t code) {
  // TensorProto.DataType of onnx.proto.
  constexpr DType kTypes[] = {
      DType::kUnknown,    DType::kFloat32, DType::kUint8,  DType::kInt8,   DType::kUint16,
      DType::kInt16,      DType::kInt32,   DType::kInt64,  DType::kString, DType::kBool,
      DType::kFloat16,    DType::kFloat64, DType::kUint32, DType::kUint64, DType::kComplex64,
      DType::kComplex128, DType::kBFloat16};
  if (code < 0 || code >= static_cast<std::int64_t>(std::size(kTypes))) return DType::kUnknown;
  return kTypes[code];
}

bool IsCastType(DType dtype) {
  return IsFloatDType(dtype) || (dtype >= DType::kInt8 && dtype <= DType::kBool);
}

class CastOp final : public Op {
 public:
  explicit CastOp(const OpBuild& build) : to_(TypeOf(build)) {
    if (!IsCastType(to_)) build.Refuse(fmt::format("a cast to {}", DTypeName(to_)));
  }
  void Run(OpContext& context) override { RunCastOp(context, to_); }

 private:
  static DType TypeOf(const OpBuild& build) {
    if (build.opset() >= 6) return DTypeOfOnnx(build.Int("to", 0));
    const std::string name = build.String("to", "");  // "FLOAT", as TensorProto.DataType has it
    constexpr std::pair<std::string_view, DType> kNames[] = {
        {"FLOAT", DType::kFloat32}, {"DOUBLE", DType::kFloat64}, {"FLOAT16", DType::kFloat16},
        {"INT8", DType::kInt8},     {"UINT8", DType::kUint8},    {"INT16", DType::kInt16},
        {"UINT16", DType::kUint16}, {"INT32", DType::kInt32},    {"UINT32", DType::kUint32},
        {"INT64", DType::kInt64},   {"UINT64", DType::kUint64},  {"BOOL", DType::kBool}};
    for (const auto& [text, dtype] : kNames) {
      if (text == name) return dtype;
    }
    return DType::kUnknown;
  }

  const DType to_;
};

class CastLikeOp final : public Op {
 public:
  void Run(OpContext& context) override { RunCastOp(context, context.Input(1).dtype); }
};

std::unique_ptr<Op> MakeCast(const OpBuild& build) { return std::make_unique<CastOp>(build); }
std::unique_ptr<Op> MakeCastLike(const OpBuild&) { return std::make_unique<CastLikeOp>(); }

constexpr OpEntry kEntries[] = {
    {"", "Cast", &MakeCast},
    {"", "CastLike", &MakeCastLike},
};

}  // namespace

std::span<const OpEntry> CastOps() { return kEntries; }

}  // namespace espalier::runtime
