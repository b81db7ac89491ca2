#include "runtime/ops/matrix_onednn.h"

#include <dlfcn.h>

#include <algorithm>

#include "espalier/base/thread_pool.h"

namespace espalier::runtime {
namespace {

// oneDNN's OpenMP library, found by name: it may be GCC's or LLVM's, and a oneDNN without OpenMP
// brings none.
struct OpenMp {
  void (*set_threads)(int) = nullptr;
  int (*threads)() = nullptr;
};

OpenMp FindOpenMp() noexcept {
  OpenMp openmp;
  openmp.set_threads = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  openmp.threads = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  if (openmp.set_threads == nullptr) openmp.threads = nullptr;
  return openmp;
}

const OpenMp& TheOpenMp() noexcept {
  static const OpenMp openmp = FindOpenMp();
  return openmp;
}

const dnnl::stream& ThreadStream() {
  thread_local const dnnl::stream stream(CpuEngine());
  return stream;
}

constexpr std::int64_t kParallelWork = std::int64_t{1} << 18;  // products; about 10 us

}  // namespace

OneOpenMpThread::OneOpenMpThread() noexcept {
  const OpenMp& openmp = TheOpenMp();
  if (openmp.threads == nullptr) return;
  before_ = openmp.threads();
  if (before_ != 1) openmp.set_threads(1);
}

OneOpenMpThread::~OneOpenMpThread() {
  if (before_ > 1) TheOpenMp().set_threads(before_);
}

const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

bool Execute(const dnnl::primitive& primitive,
             std::span<const dnnl_exec_arg_t> arguments) noexcept {
  const OneOpenMpThread one_thread;
  try {
    return dnnl_primitive_execute(primitive.get(), ThreadStream().get(),
                                  static_cast<int>(arguments.size()),
                                  arguments.data()) == dnnl_success;
  } catch (const dnnl::error&) {
    return false;
  }
}

void Gemm(const GemmShape& s, const float* a, const float* b, float beta, float* c) noexcept {
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    for (std::int64_t i = 0; i < s.m; ++i) {
      float* row = c + i * s.ldc;
      for (std::int64_t j = 0; j < s.n; ++j) row[j] = beta == 0 ? 0 : beta * row[j];
    }
    return;
  }
  const OneOpenMpThread one_thread;
  dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m, s.n, s.k, s.alpha, a, s.lda,
             b, s.ldb, beta, c, s.ldc);
}

void ParallelGemm(int threads, const GemmShape& s, const float* a, const float* b, float beta,
                  float* c) noexcept {
  if (threads <= 1 || s.m * s.n < 2 || s.m * s.n * s.k < kParallelWork) {
    return Gemm(s, a, b, beta, c);
  }
  // Parts of a multiple of 16 rows or columns, the tile of the kernel.
  const bool by_rows = s.m >= s.n;
  const std::int64_t size = by_rows ? s.m : s.n;
  const std::int64_t part =
      std::max<std::int64_t>(1, ((size + threads - 1) / threads + 15) / 16 * 16);
  const auto parts = static_cast<std::size_t>((size + part - 1) / part);
  ThreadPool::Shared().Run(threads, parts, [&](std::size_t i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * part;
    GemmShape own = s;
    (by_rows ? own.m : own.n) = std::min(part, size - begin);
    if (by_rows) {
      Gemm(own, a + begin * (s.transpose_a ? 1 : s.lda), b, beta, c + begin * s.ldc);
    } else {
      Gemm(own, a, b + begin * (s.transpose_b ? s.ldb : 1), beta, c + begin);
    }
  });
}

}  // namespace espalier::runtime
