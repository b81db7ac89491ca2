#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <cstdint>
#include <span>
#include <string>

#include "espalier/base/error.h"

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

/// Calls `body`, turning oneDNN's exceptions into ours.
/// @throws Error  kInternal with oneDNN's text.
template <typename Body>
void WithOneDnn(const char* what, const Body& body) {
  const OneOpenMpThread one_thread;
  try {
    body();
  } catch (const dnnl::error& error) {
    throw Error(ErrorCode::kInternal, std::string("oneDNN ") + what + ": " + error.what());
  }
}

/// Runs a primitive on the calling thread with memory of its own for each argument.
/// @return  Whether it worked.
bool Execute(const dnnl::primitive& primitive, std::span<const dnnl_exec_arg_t> arguments) noexcept;

/// Row-major C[m, n] = op(A) op(B) + beta C.
struct GemmShape {
  bool transpose_a = false;
  bool transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;  ///< Elements from row to row, as stored.
};

/// float32 on the calling thread, float64 in plain loops.
void Gemm(const GemmShape& shape, const float* a, const float* b, float beta, float* c) noexcept;
void Gemm(const GemmShape& shape, const double* a, const double* b, double beta,
          double* c) noexcept;

/// The same, split over rows or columns of C where there is enough to do.
void ParallelGemm(int threads, const GemmShape& shape, const float* a, const float* b, float beta,
                  float* c) noexcept;
inline void ParallelGemm(int threads, const GemmShape& shape, const double* a, const double* b,
                         double beta, double* c) noexcept {
  static_cast<void>(threads);
  Gemm(shape, a, b, beta, c);
}

}  // namespace espalier::runtime
