#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <cstdint>
#include <span>

namespace espalier::runtime {

/// While it lives, the calling thread's OpenMP loops, that is oneDNN's, run on this thread alone:
/// our own pool already keeps the cores busy. Needed around making primitives, too: they plan for
/// the number of threads that they see.
class OneOpenMpThread {
 public:
  OneOpenMpThread() noexcept;
  ~OneOpenMpThread();
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  int before_ = 0;
};

const dnnl::engine& CpuEngine();

/// Runs a primitive on the calling thread with memory of its own for each argument.
/// @return  Whether it worked.
bool Execute(const dnnl::primitive& primitive, std::span<const dnnl_exec_arg_t> arguments) noexcept;

/// Row-major C[m, n] = alpha op(A) op(B) + beta C.
struct GemmShape {
  bool transpose_a = false;
  bool transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;  ///< Elements from row to row, as stored.
  float alpha = 1;
};

/// On the calling thread.
void Gemm(const GemmShape& shape, const float* a, const float* b, float beta, float* c) noexcept;

/// The same in plain loops, for the other types; integers wrap around.
template <typename T>
void Gemm(const GemmShape& s, const T* a, const T* b, T beta, T* c) noexcept {
  const T alpha = static_cast<T>(s.alpha);
  for (std::int64_t i = 0; i < s.m; ++i) {
    T* row = c + i * s.ldc;
    for (std::int64_t j = 0; j < s.n; ++j)
      row[j] = beta == 0 ? T{0} : static_cast<T>(beta * row[j]);
    for (std::int64_t p = 0; p < s.k; ++p) {
      const T x = static_cast<T>(alpha * (s.transpose_a ? a[p * s.lda + i] : a[i * s.lda + p]));
      const std::int64_t step = s.transpose_b ? s.ldb : 1;
      const T* column = b + (s.transpose_b ? p : p * s.ldb);
      for (std::int64_t j = 0; j < s.n; ++j) row[j] = static_cast<T>(row[j] + x * column[j * step]);
    }
  }
}

/// Gemm(), split over rows or columns of C where there is enough to do.
void ParallelGemm(int threads, const GemmShape& shape, const float* a, const float* b, float beta,
                  float* c) noexcept;
template <typename T>
void ParallelGemm(int threads, const GemmShape& shape, const T* a, const T* b, T beta,
                  T* c) noexcept {
  static_cast<void>(threads);
  Gemm(shape, a, b, beta, c);
}

}  // namespace espalier::runtime
