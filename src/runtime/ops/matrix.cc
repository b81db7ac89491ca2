#include <fmt/format.h>

#include <algorithm>

#include "espalier/base/thread_pool.h"
#include "runtime/fused.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/matrix_einsum.h"
#include "runtime/ops/matrix_onednn.h"
#include "runtime/ops/matrix_product.h"
#include "runtime/ops/matrix_types.h"

namespace espalier::runtime {
namespace {

constexpr std::int64_t kParallelWork = std::int64_t{1} << 18;  // products

void CheckTypes(const OpContext& context) {
  const DType dtype = context.Input(0).dtype;
  for (std::size_t i = 1; i < context.InputCount(); ++i) {
    if (!context.HasInput(i) || context.Input(i).dtype == dtype) continue;
    throw Error(ErrorCode::kBadFile, fmt::format("input 0 is {}, input {} is {}", DTypeName(dtype),
                                                 i, DTypeName(context.Input(i).dtype)));
  }
}

template <typename T>
const T* Residual(const OpContext& context, const Dims& y) {
  if (!context.HasInput(kResidualInput)) return nullptr;
  const Value& residual = context.Input(kResidualInput);
  if (residual.dims == y) return residual.As<T>();
  throw Error(ErrorCode::kBadFile, fmt::format("a residual of {} for an output of {}",
                                               DimsText(residual.dims), DimsText(y)));
}

class MatMulOp final : public FloatOp {
 public:
  explicit MatMulOp(const OpBuild& build) : activation_(FusedActivation(build.node())) {}

 protected:
  void RunFloat(OpContext& context) override {
    CheckTypes(context);
    const Value& a = context.Input(0);
    shape_.Place(a.dims, context.Input(1).dims);
    Value& y = context.Output(0, a.dtype, shape_.y);
    if (y.Elements() == 0) return;
    WithProductType(a.dtype, [&](auto zero) {
      using T = decltype(zero);
      Multiply<T>(context, y.As<T>());
      FinishProduct(activation_, Residual<T>(context, shape_.y), y.As<T>(), y.Elements());
    });
  }

 private:
  template <typename T>
  void Multiply(OpContext& context, T* y) {
    const bool bias = context.HasInput(2);
    if (bias) FillBias<T>(context, y);
    const T beta = bias ? T{1} : T{0};
    const T* a = context.In<T>(0);
    const T* b = context.In<T>(1);
    const GemmShape gemm{false, false, shape_.m, shape_.n, shape_.k, shape_.k, shape_.n, shape_.n};
    const std::size_t count = shape_.a_matrices.size();
    const auto multiply = [&](int threads, std::size_t i) {
      ParallelGemm(threads, gemm, a + shape_.a_matrices[i] * shape_.m * shape_.k,
                   b + shape_.b_matrices[i] * shape_.k * shape_.n, beta,
                   y + static_cast<std::int64_t>(i) * shape_.m * shape_.n);
    };
    const int threads = context.threads();
    const bool spread =
        count >= static_cast<std::size_t>(threads) && threads > 1 &&
        static_cast<std::int64_t>(count) * shape_.m * shape_.n * shape_.k >= kParallelWork;
    if (spread) {
      ThreadPool::Shared().Run(threads, count, [&](std::size_t i) { multiply(1, i); });
    } else {
      for (std::size_t i = 0; i < count; ++i) multiply(threads, i);
    }
  }

  template <typename T>
  void FillBias(OpContext& context, T* y) {
    const Value& bias = context.Input(2);
    if (bias.Elements() != static_cast<std::size_t>(shape_.n)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("a bias of {} for {} columns", DimsText(bias.dims), shape_.n));
    }
    const auto rows = ElementCount(shape_.y) / shape_.n;
    for (std::int64_t i = 0; i < rows; ++i) std::copy_n(bias.As<T>(), shape_.n, y + i * shape_.n);
  }

  const Activation activation_;
  ProductShape shape_;
};

class GemmOp final : public FloatOp {
 public:
  explicit GemmOp(const OpBuild& build)
      : alpha_(build.Float("alpha", 1)),
        beta_(build.Float("beta", 1)),
        transpose_a_(build.Int("transA", 0) != 0),
        transpose_b_(build.Int("transB", 0) != 0),
        activation_(FusedActivation(build.node())) {}

 protected:
  void RunFloat(OpContext& context) override {
    CheckTypes(context);
    const Value& a = context.Input(0);
    const GemmShape gemm = Place(a.dims, context.Input(1).dims);
    y_dims_.assign({gemm.m, gemm.n});
    Value& y = context.Output(0, a.dtype, y_dims_);
    if (y.Elements() == 0) return;
    WithProductType(a.dtype, [&](auto zero) {
      using T = decltype(zero);
      const bool addend = context.HasInput(2) && beta_ != 0;
      if (addend) FillAddend<T>(context.Input(2), gemm, y.As<T>());
      ParallelGemm(context.threads(), gemm, a.As<T>(), context.In<T>(1), addend ? T{1} : T{0},
                   y.As<T>());
      FinishProduct(activation_, Residual<T>(context, y_dims_), y.As<T>(), y.Elements());
    });
  }

 private:
  GemmShape Place(const Dims& a, const Dims& b) const {
    if (a.size() != 2 || b.size() != 2 || a[transpose_a_ ? 0 : 1] != b[transpose_b_ ? 1 : 0]) {
      throw Error(ErrorCode::kBadFile, fmt::format("Gemm of {}{} and {}{}", DimsText(a),
                                                   transpose_a_ ? " transposed" : "", DimsText(b),
                                                   transpose_b_ ? " transposed" : ""));
    }
    GemmShape gemm{transpose_a_, transpose_b_};
    gemm.m = a[transpose_a_ ? 1 : 0];
    gemm.n = b[transpose_b_ ? 0 : 1];
    gemm.k = a[transpose_a_ ? 0 : 1];
    gemm.lda = a[1];
    gemm.ldb = b[1];
    gemm.ldc = gemm.n;
    gemm.alpha = alpha_;
    return gemm;
  }

  // y = beta * C, broadcast.
  template <typename T>
  void FillAddend(const Value& c, const GemmShape& gemm, T* y) const {
    const std::int64_t cols = c.rank() > 0 ? c.dims[c.rank() - 1] : 1;
    const std::int64_t rows = c.rank() > 1 ? c.dims[c.rank() - 2] : 1;
    if (c.rank() > 2 || (cols != 1 && cols != gemm.n) || (rows != 1 && rows != gemm.m)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("Gemm adds {} to {}", DimsText(c.dims), DimsText({gemm.m, gemm.n})));
    }
    const T beta = static_cast<T>(beta_);
    for (std::int64_t i = 0; i < gemm.m; ++i) {
      const T* row = c.As<T>() + (rows == 1 ? 0 : i * cols);
      for (std::int64_t j = 0; j < gemm.n; ++j) {
        y[i * gemm.n + j] = static_cast<T>(beta * row[cols == 1 ? 0 : j]);
      }
    }
  }

  const float alpha_, beta_;
  const bool transpose_a_, transpose_b_;
  const Activation activation_;
  Dims y_dims_;
};

constexpr OpEntry kOps[] = {
    {"", "MatMul",
     [](const OpBuild& build) -> std::unique_ptr<Op> { return std::make_unique<MatMulOp>(build); }},
    {"", "Gemm",
     [](const OpBuild& build) -> std::unique_ptr<Op> { return std::make_unique<GemmOp>(build); }},
    {"", "Einsum", &MakeEinsum},
};

}  // namespace

std::span<const OpEntry> MatrixOps() { return kOps; }

}  // namespace espalier::runtime
