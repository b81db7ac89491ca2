#include <fmt/format.h>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/dispatch.h"
#include "runtime/ops/matrix_product.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/quantized_parts.h"

namespace espalier::runtime {
namespace {

// Products of int8 or uint8 matrices with int32 sums, which wrap around.
class IntegerProduct {
 public:
  // @param a_zero  Null, of one element, or one for each row.
  // @param b_zero  Null, of one element, or one for each column.
  void Place(const Value& a, const Value& b, const Value* a_zero, const Value* b_zero) {
    shape_.Place(a.dims, b.dims);
    const std::int64_t rows = a.rank() < 2 ? 1 : a.dims[a.rank() - 2];
    ReadCentred(a, a_zero, rows, a.dims.back(), &a_);
    const std::int64_t columns = b.rank() < 2 ? 1 : b.dims.back();
    ReadCentred(b, b_zero, columns, 1, &b_);
  }

  const Dims& y_dims() const { return shape_.y; }
  std::int64_t columns() const { return shape_.n; }

  void Multiply(int threads, std::int32_t* y) const {
    const std::int64_t m = shape_.m, n = shape_.n, k = shape_.k;
    const auto count = static_cast<std::int64_t>(shape_.a_matrices.size());
    if (ElementCount(shape_.y) == 0) return;
    ParallelRanges(threads, count * m, count * m * n * k,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const auto at = static_cast<std::size_t>(i / m);
                       const std::int32_t* a = a_.data() + (shape_.a_matrices[at] * m + i % m) * k;
                       MultiplyRow(a, b_.data() + shape_.b_matrices[at] * k * n, y + i * n);
                     }
                   });
  }

 private:
  void MultiplyRow(const std::int32_t* a, const std::int32_t* b, std::int32_t* y) const {
    auto* sums = reinterpret_cast<std::uint32_t*>(y);
    std::fill(sums, sums + shape_.n, 0u);
    for (std::int64_t p = 0; p < shape_.k; ++p) {
      const auto x = static_cast<std::uint32_t>(a[p]);
      if (x == 0) continue;
      const std::int32_t* row = b + p * shape_.n;
      for (std::int64_t j = 0; j < shape_.n; ++j) sums[j] += x * static_cast<std::uint32_t>(row[j]);
    }
  }

  ProductShape shape_;
  std::vector<std::int32_t> a_, b_;
};

const Value* InputOrNull(const OpContext& context, std::size_t i) {
  return context.HasInput(i) ? &context.Input(i) : nullptr;
}

class MatMulIntegerOp final : public Op {
 public:
  void Run(OpContext& context) override {
    product_.Place(context.Input(0), context.Input(1), InputOrNull(context, 2),
                   InputOrNull(context, 3));
    auto* y = context.Out<std::int32_t>(0, DType::kInt32, product_.y_dims());
    product_.Multiply(context.threads(), y);
  }

 private:
  IntegerProduct product_;
};

// Inputs: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero.
class QLinearMatMulOp final : public Op {
 public:
  void Run(OpContext& context) override {
    product_.Place(context.Input(0), context.Input(3), &context.Input(2), &context.Input(5));
    const std::int64_t columns = std::max<std::int64_t>(1, product_.columns());
    const auto count = static_cast<std::size_t>(ElementCount(product_.y_dims()));
    const auto rows = static_cast<std::int64_t>(count) / columns;
    ReadScales(context.Input(1), 1, &a_scale_);
    ReadScales(context.Input(4), columns, &b_scale_);
    ReadScales(context.Input(6), 1, &y_scale_);
    ReadScales(context.Input(7), 1, &y_zero_);
    const DType dtype = context.Input(7).dtype;
    if (dtype != DType::kInt8 && dtype != DType::kUint8) {
      throw Error(ErrorCode::kBadFile, fmt::format("a zero point of {}", DTypeName(dtype)));
    }
    Value& y = context.Output(0, dtype, product_.y_dims());
    sums_.resize(count);
    product_.Multiply(context.threads(), sums_.data());
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        const auto at = static_cast<std::size_t>(i * columns + j);
        const double scale = a_scale_[0] *
                             b_scale_[b_scale_.size() == 1 ? 0 : static_cast<std::size_t>(j)] /
                             y_scale_[0];
        StoreQuantized(dtype, sums_[at] * scale, y_zero_[0], y.data + at);
      }
    }
  }

 private:
  IntegerProduct product_;
  std::vector<double> a_scale_, b_scale_, y_scale_, y_zero_;
  std::vector<std::int32_t> sums_;
};

}  // namespace

std::unique_ptr<Op> MakeMatMulInteger(const OpBuild&) {
  return std::make_unique<MatMulIntegerOp>();
}

std::unique_ptr<Op> MakeQLinearMatMul(const OpBuild&) {
  return std::make_unique<QLinearMatMulOp>();
}

}  // namespace espalier::runtime
