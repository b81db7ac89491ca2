#include "runtime/ops/conv_transpose.h"

#include <fmt/format.h>

#include <algorithm>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/matrix_onednn.h"

namespace espalier::runtime {
namespace {

constexpr std::int64_t kBlockFloats = std::int64_t{1} << 18;   // 1 MB of products at once
constexpr std::int64_t kMostProducts = std::int64_t{1} << 40;  // of one channel
constexpr std::int64_t kParallelWork = std::int64_t{1} << 18;  // products

// Adds the products of one output channel, [kernel positions][input elements], to its plane.
void Scatter(const Window3d& window, const float* products, float* plane) {
  const std::int64_t stride = window.w.stride;
  const std::int64_t size = window.Out();
  for (std::int64_t kd = 0; kd < window.d.kernel; ++kd) {
    for (std::int64_t kh = 0; kh < window.h.kernel; ++kh) {
      for (std::int64_t kw = 0; kw < window.w.kernel; ++kw, products += size) {
        ForKernelRows(window, kd, kh, kw,
                      [&](std::int64_t to, std::int64_t from, std::int64_t count) {
                        for (std::int64_t i = 0; i < count; ++i) {
                          plane[to + i * stride] += products[from + i];
                        }
                      });
      }
    }
  }
}

}  // namespace

bool SuitsScatter(const ConvShape& shape) {
  const Window3d window = shape.Window();
  return shape.transposed && window.d.stride * window.h.stride * window.w.stride > 1 &&
         shape.in_channels > 0 && window.Out() > 0 && window.In() > 0;
}

void ScatterConvTranspose::RunErased(const ConvShape& shape, const Arguments& arguments,
                                     OpContext& context, FinishCall call, const void* finish) {
  const Window3d window = shape.Window();
  const std::int64_t kernel = window.Kernel(), in = window.Out(), out = window.In();
  const std::int64_t channels = shape.out_channels;
  if (kernel > kMostProducts / in) {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("a transposed convolution of {} elements with a kernel of {}", in, kernel));
  }
  const int threads = std::max(1, context.threads());
  const std::int64_t work = shape.batch * shape.groups * channels * shape.in_channels * kernel * in;
  // Channels at once: products that stay in the cache, and a part for each thread.
  const std::int64_t most = work < kParallelWork ? channels : (channels + threads - 1) / threads;
  const std::int64_t block = std::clamp<std::int64_t>(kBlockFloats / (kernel * in), 1, most);
  const std::int64_t blocks = (channels + block - 1) / block;
  const std::int64_t jobs = shape.batch * shape.groups * blocks;
  const std::int64_t slots = work < kParallelWork ? 1 : std::min<std::int64_t>(threads, jobs);
  auto* scratch = reinterpret_cast<float*>(
      context.Scratch(static_cast<std::size_t>(slots * block * kernel * in) * sizeof(float)));
  const auto run = [&](std::int64_t job, float* products) {
    const std::int64_t part = job / blocks;  // of image and group
    const std::int64_t first = job % blocks * block;
    const std::int64_t count = std::min(block, channels - first);
    GemmShape gemm;
    gemm.transpose_a = true;
    gemm.m = count * kernel;
    gemm.n = gemm.ldb = gemm.ldc = in;
    gemm.k = shape.in_channels;
    gemm.lda = channels * kernel;
    const std::int64_t group = part % shape.groups;
    Gemm(gemm, arguments.w + (group * shape.in_channels * channels + first) * kernel,
         arguments.x + part * shape.in_channels * in, 0.0f, products);
    for (std::int64_t c = 0; c < count; ++c) {
      const std::int64_t begin = (part * channels + first + c) * out;
      const float* bias = arguments.bias;
      std::fill_n(arguments.y + begin, out,
                  bias == nullptr ? 0 : bias[group * channels + first + c]);
      Scatter(window, products + c * kernel * in, arguments.y + begin);
      call(finish, begin, out);
    }
  };
  ThreadPool::Shared().Run(threads, static_cast<std::size_t>(slots), [&](std::size_t slot) {
    const auto own = static_cast<std::int64_t>(slot);
    for (std::int64_t job = own; job < jobs; job += slots) {
      run(job, scratch + own * block * kernel * in);
    }
  });
}

}  // namespace espalier::runtime
