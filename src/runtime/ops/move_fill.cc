#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/ops/move.h"

namespace espalier::runtime {
namespace {

class ShapeOp final : public Op {
 public:
  explicit ShapeOp(const OpBuild& build)
      : start_(build.Int("start", 0)), end_(build.Int("end", INT64_MAX)) {}

  void Run(OpContext& context) override {
    const Dims& dims = context.Input(0).dims;
    const auto rank = static_cast<std::int64_t>(dims.size());
    const auto place = [rank](std::int64_t i) {
      return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank);
    };
    const std::int64_t begin = place(start_);
    const std::int64_t count = std::max<std::int64_t>(place(end_) - begin, 0);
    out_dims_.assign(1, count);
    auto* out = context.Out<std::int64_t>(0, DType::kInt64, out_dims_);
    std::copy_n(dims.begin() + begin, count, out);
  }

 private:
  const std::int64_t start_;
  const std::int64_t end_;
  Dims out_dims_;
};

class SizeOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const std::size_t count = context.Input(0).Elements();
    *context.Out<std::int64_t>(0, DType::kInt64, Dims()) = static_cast<std::int64_t>(count);
  }
};

class ConstantOfShapeOp final : public Op {
 public:
  explicit ConstantOfShapeOp(const OpBuild& build) {
    const Tensor* value = build.TensorOf("value");
    if (value == nullptr) return;
    dtype_ = value->dtype();
    if (value->elements() != 1 || ElementBytes(dtype_) > sizeof(element_)) {
      throw Error(ErrorCode::kBadFile, fmt::format("a value of {} elements of {}",
                                                   value->elements(), DTypeName(dtype_)));
    }
    std::copy(value->bytes().begin(), value->bytes().end(), element_);
  }

  void Run(OpContext& context) override {
    ReadInts(context, 0, &dims_);
    for (const std::int64_t dim : dims_) {
      if (dim < 0) throw Error(ErrorCode::kBadFile, fmt::format("a dimension of {}", dim));
    }
    Value& out = context.Output(0, dtype_, dims_);
    DispatchSize(ElementBytes(dtype_), [&]<typename T>() {
      T element;
      std::memcpy(&element, element_, sizeof(T));
      std::fill_n(out.As<T>(), out.Elements(), element);
    });
  }

 private:
  DType dtype_ = DType::kFloat32;
  std::byte element_[16] = {};
  Dims dims_;
};

using FillTypes = Join<Join<NumberTypes, NarrowTypes>, TypeList<Bool>>;

// TensorProto.DataType of onnx.proto; kUnknown for what the runtime does not fill.
DType FillType(const OpBuild& build) {
  constexpr DType kTypes[] = {DType::kUnknown, DType::kFloat32, DType::kUint8,   DType::kInt8,
                              DType::kUint16,  DType::kInt16,   DType::kInt32,   DType::kInt64,
                              DType::kUnknown, DType::kBool,    DType::kFloat16, DType::kFloat64,
                              DType::kUint32,  DType::kUint64,  DType::kUnknown, DType::kUnknown,
                              DType::kBFloat16};
  const std::int64_t code = build.Int("dtype", 0);
  if (code > 0 && code < static_cast<std::int64_t>(std::size(kTypes)) &&
      kTypes[code] != DType::kUnknown) {
    return kTypes[code];
  }
  build.Refuse(fmt::format("the dtype {}", code));
}

class EyeLikeOp final : public Op {
 public:
  explicit EyeLikeOp(const OpBuild& build)
      : dtype_(build.Has("dtype") ? FillType(build) : DType::kUnknown), k_(build.Int("k", 0)) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (x.rank() != 2) {
      throw Error(ErrorCode::kBadFile, fmt::format("a tensor of rank {}, expected 2", x.rank()));
    }
    const DType dtype = dtype_ == DType::kUnknown ? x.dtype : dtype_;
    Value& out = context.Output(0, dtype, x.dims);
    Dispatch(FillTypes(), dtype, [&]<typename T>() {
      T* elements = out.As<T>();
      std::fill_n(elements, out.Elements(), T());
      const std::int64_t rows = x.dims[0];
      const std::int64_t columns = x.dims[1];
      if (k_ >= columns || k_ <= -rows) return;
      for (std::int64_t row = std::max<std::int64_t>(0, -k_); row < rows && row + k_ < columns;
           ++row) {
        elements[row * columns + row + k_] = T(1);
      }
    });
  }

 private:
  const DType dtype_;
  const std::int64_t k_;
};

class RangeOp final : public Op {
 public:
  void Run(OpContext& context) override {
    const Value& start = context.Input(0);
    const Value& limit = context.Input(1);
    const Value& delta = context.Input(2);
    CheckSameType(start, limit);
    CheckSameType(start, delta);
    using Types = TypeList<float, double, std::int16_t, std::int32_t, std::int64_t>;
    Dispatch(Types(), start.dtype, [&]<typename T>() {
      const T first = ScalarOf<T>(start);
      const T step = ScalarOf<T>(delta);
      dims_.assign(1, CountOf(first, ScalarOf<T>(limit), step));
      T* out = context.Out<T>(0, start.dtype, dims_);
      for (std::int64_t i = 0; i < dims_[0]; ++i) {
        if constexpr (std::is_integral_v<T>) {
          out[i] = static_cast<T>(static_cast<std::uint64_t>(first) +
                                  static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(step));
        } else {
          out[i] = first + static_cast<T>(i) * step;
        }
      }
    });
  }

 private:
  template <typename T>
  static T ScalarOf(const Value& value) {
    if (value.Elements() == 1) return *value.As<T>();
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} elements where one is expected", value.Elements()));
  }

  template <typename T>
  static std::int64_t CountOf(T start, T limit, T delta) {
    if (!(delta != T(0))) throw Error(ErrorCode::kBadFile, "a step of 0");
    if constexpr (std::is_integral_v<T>) {
      // In 128 bits, where nothing overflows.
      __extension__ using Wide = __int128;
      const Wide distance = Wide(limit) - Wide(start);
      const Wide by = delta;
      if (by > 0 ? distance <= 0 : distance >= 0) return 0;
      const Wide count = by > 0 ? (distance + by - 1) / by : (-distance - by - 1) / -by;
      return static_cast<std::int64_t>(std::min<Wide>(count, Wide(1) << 62));
    } else {
      const double count = std::ceil((static_cast<double>(limit) - static_cast<double>(start)) /
                                     static_cast<double>(delta));
      if (std::isnan(count) || count > 0x1p40) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("a range from {} to {} by {}", start, limit, delta));
      }
      return static_cast<std::int64_t>(std::max(count, 0.0));
    }
  }

  Dims dims_;
};

class TriluOp final : public Op {
 public:
  explicit TriluOp(const OpBuild& build) : upper_(build.Int("upper", 1) != 0) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    if (x.rank() < 2) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a tensor of rank {}, expected 2 or more", x.rank()));
    }
    const std::int64_t rows = x.dims[x.rank() - 2];
    const std::int64_t columns = x.dims[x.rank() - 1];
    const std::int64_t given = context.HasInput(1) ? ReadInt(context, 1) : 0;
    const std::int64_t k = std::clamp<std::int64_t>(given, -rows - 1, columns + 1);
    Value& out = context.Output(0, x.dtype, x.dims);
    const std::size_t bytes = ElementBytes(x.dtype);
    const std::size_t matrices = Product(x.dims, 0, x.rank() - 2);
    const std::size_t row_bytes = static_cast<std::size_t>(columns) * bytes;
    if (row_bytes == 0) return;
    for (std::size_t m = 0; m < matrices; ++m) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::size_t at =
            (m * static_cast<std::size_t>(rows) + static_cast<std::size_t>(row)) * row_bytes;
        // The upper part keeps columns from row + k on, the lower part up to row + k.
        const std::int64_t edge = std::clamp<std::int64_t>(row + k + (upper_ ? 0 : 1), 0, columns);
        const std::size_t split = static_cast<std::size_t>(edge) * bytes;
        const std::size_t kept = upper_ ? split : 0;
        const std::size_t kept_end = upper_ ? row_bytes : split;
        std::memset(out.data + at, 0, row_bytes);
        std::memcpy(out.data + at + kept, x.data + at + kept, kept_end - kept);
      }
    }
  }

 private:
  const bool upper_;
};

constexpr OpEntry kEntries[] = {
    {"", "Shape", &MakeOf<ShapeOp>},
    {"", "Size", &MakeOf<SizeOp>},
    {"", "ConstantOfShape", &MakeOf<ConstantOfShapeOp>},
    {"", "EyeLike", &MakeOf<EyeLikeOp>},
    {"", "Range", &MakeOf<RangeOp>},
    {"", "Trilu", &MakeOf<TriluOp>},
};

}  // namespace

std::span<const OpEntry> FillOps() { return kEntries; }

}  // namespace espalier::runtime
