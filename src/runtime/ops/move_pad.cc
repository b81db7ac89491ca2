#include <algorithm>
#include <cstring>

#include "runtime/ops/move.h"

namespace espalier::runtime {
namespace {

enum class PadMode : std::uint8_t { kConstant, kReflect, kEdge, kWrap };

// The input position of output position `i` along an axis; -1: the constant.
std::int64_t SourceOf(PadMode mode, std::int64_t i, std::int64_t size) {
  if (i >= 0 && i < size) return i;
  switch (mode) {
    case PadMode::kConstant:
      return -1;
    case PadMode::kEdge:
      return i < 0 ? 0 : size - 1;
    case PadMode::kWrap:
      return (i % size + size) % size;
    case PadMode::kReflect: {
      if (size == 1) return 0;
      const std::int64_t period = 2 * (size - 1);
      const std::int64_t at = (i % period + period) % period;
      return at < size ? at : period - at;
    }
  }
  return -1;
}

class PadOp final : public Op {
 public:
  explicit PadOp(const OpBuild& build)
      : by_attribute_(build.opset() < 11),
        value_(build.Float("value", 0)),
        pads_(build.Ints(build.opset() < 2 ? "paddings" : "pads", {})) {
    const std::string mode = build.String("mode", "constant");
    if (mode == "constant") {
      mode_ = PadMode::kConstant;
    } else if (mode == "reflect") {
      mode_ = PadMode::kReflect;
    } else if (mode == "edge") {
      mode_ = PadMode::kEdge;
    } else if (mode == "wrap") {
      mode_ = PadMode::kWrap;
    } else {
      build.Refuse(fmt::format("the mode '{}'", mode));
    }
  }

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    PlaceAxes(context, x);
    Value& out = context.Output(0, x.dtype, dims_);
    if (out.Elements() == 0) return;
    if (mode_ == PadMode::kConstant) {
      FillConstant(context, x, out);
      CopyInside(context, x, out);
      return;
    }
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (x.dims[i] > 0) continue;
      throw Error(ErrorCode::kBadFile,
                  fmt::format("an axis without elements is padded to {}", dims_[i]));
    }
    CopyMapped(x, out);
  }

 private:
  // Output dimensions and where the input starts in them.
  void PlaceAxes(const OpContext& context, const Value& x) {
    constexpr std::int64_t kMaxPad = std::int64_t{1} << 40;
    if (!by_attribute_) ReadInts(context, 1, &pads_);
    const bool has_axes = !by_attribute_ && context.HasInput(3);
    if (has_axes) ReadInts(context, 3, &axes_);
    const std::size_t count = has_axes ? axes_.size() : x.rank();
    if (pads_.size() != 2 * count) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} pads for {} axes", pads_.size(), count));
    }
    dims_ = x.dims;
    begin_.assign(x.rank(), 0);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t axis = has_axes ? CheckedAxis(axes_[i], x.rank()) : i;
      const std::int64_t before = pads_[i];
      const std::int64_t after = pads_[count + i];
      if (std::max(before, after) > kMaxPad || std::min(before, after) < -kMaxPad) {
        throw Error(ErrorCode::kBadFile, fmt::format("pads of {} and {}", before, after));
      }
      begin_[axis] = before;
      dims_[axis] = x.dims[axis] + before + after;
      if (dims_[axis] < 0) {
        throw Error(ErrorCode::kBadFile, fmt::format("pads of {} and {} around {} elements", before,
                                                     after, x.dims[axis]));
      }
    }
  }

  void FillConstant(const OpContext& context, const Value& x, Value& out) const {
    std::byte element[16] = {};
    if (!by_attribute_ && context.HasInput(2)) {
      const Value& value = InputOf(context, 2, x.dtype);
      if (value.Elements() != 1) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("a constant of {} elements", value.Elements()));
      }
      std::memcpy(element, value.data, ElementBytes(x.dtype));
    } else if (by_attribute_) {
      Dispatch(Join<NumberTypes, NarrowTypes>(), x.dtype, [&]<typename T>() {
        const T number = static_cast<T>(std::clamp(value_, -0x1p31f, 0x1p30f));
        std::memcpy(element, &number, sizeof(T));
      });
    }
    DispatchSize(ElementBytes(x.dtype), [&]<typename T>() {
      T value;
      std::memcpy(&value, element, sizeof(T));
      std::fill_n(out.As<T>(), out.Elements(), value);
    });
  }

  void CopyInside(const OpContext& context, const Value& x, Value& out) {
    StridesOf(x.dims, &strides_);
    StridesOf(dims_, &out_strides_);
    copy_.Reset(ElementBytes(x.dtype));
    std::int64_t from = 0;
    std::int64_t to = 0;
    for (std::size_t i = 0; i < x.rank(); ++i) {
      const std::int64_t first = std::max<std::int64_t>(begin_[i], 0);
      const std::int64_t end = std::min(begin_[i] + x.dims[i], dims_[i]);
      copy_.Add(std::max<std::int64_t>(end - first, 0), strides_[i], out_strides_[i]);
      from += std::max<std::int64_t>(first - begin_[i], 0) * strides_[i];
      to += first * out_strides_[i];
      if (end <= first) return;
    }
    const std::size_t bytes = ElementBytes(x.dtype);
    copy_.Run(context.threads(), x.data + static_cast<std::size_t>(from) * bytes,
              out.data + static_cast<std::size_t>(to) * bytes);
  }

  // Row by row: the map of the last axis is the same in all of them.
  void CopyMapped(const Value& x, Value& out) {
    StridesOf(x.dims, &strides_);
    const std::size_t rank = x.rank();
    const std::size_t columns = rank == 0 ? 1 : static_cast<std::size_t>(dims_[rank - 1]);
    columns_.assign(columns, 0);
    for (std::size_t i = 0; rank > 0 && i < columns; ++i) {
      columns_[i] =
          SourceOf(mode_, static_cast<std::int64_t>(i) - begin_[rank - 1], x.dims[rank - 1]);
    }
    index_.assign(rank, 0);
    const std::size_t rows = out.Elements() / columns;
    DispatchSize(ElementBytes(x.dtype), [&]<typename T>() {
      T* to = out.As<T>();
      for (std::size_t row = 0; row < rows; ++row) {
        std::int64_t from = 0;
        for (std::size_t k = 0; k + 1 < rank; ++k) {
          from += SourceOf(mode_, index_[k] - begin_[k], x.dims[k]) * strides_[k];
        }
        const T* source = x.As<T>() + from;
        for (const std::int64_t column : columns_) *to++ = source[column];
        for (std::size_t k = rank; k-- > 1;) {
          if (++index_[k - 1] < dims_[k - 1]) break;
          index_[k - 1] = 0;
        }
      }
    });
  }

  const bool by_attribute_;
  const float value_;
  PadMode mode_ = PadMode::kConstant;
  std::vector<std::int64_t> pads_, axes_, begin_, strides_, out_strides_, columns_, index_;
  Dims dims_;
  StridedCopy copy_;
};

constexpr OpEntry kEntries[] = {{"", "Pad", &MakeOf<PadOp>}};

}  // namespace

std::span<const OpEntry> PadOps() { return kEntries; }

}  // namespace espalier::runtime
