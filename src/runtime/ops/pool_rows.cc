#include <algorithm>
#include <array>

#include "espalier/kernels/rows.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/pool_parts.h"

namespace espalier::runtime {
namespace {

constexpr std::size_t kMostRows = 64;  // of a window; more go in several calls' worth of sums

// One thread's working memory: a padded row, a row of results, and what each column divides by.
struct Workspace {
  float* padded = nullptr;
  float* more = nullptr;
};

// Output row (d, h) of one plane. Rows beyond kMostRows are pooled in further calls.
void PoolOneRow(PoolKind kind, const Window3d& window, const PoolRowShape& shape, std::int64_t d,
                std::int64_t h, const float* plane, const Workspace& workspace, float* out) {
  const KernelRange range_d = InsideRange(window.d, d);
  const KernelRange range_h = InsideRange(window.h, h);
  std::array<const float*, kMostRows> rows;
  std::size_t count = 0;
  bool first = true;
  const auto flush = [&] {
    float* to = first ? out : workspace.more;
    PoolRow(kind, shape, rows.data(), count, workspace.padded, to);
    for (std::size_t i = 0; !first && i < shape.out; ++i) {
      const float max = out[i] > to[i] ? out[i] : to[i];  // NaN: as in PoolKind::kMax
      out[i] = kind == PoolKind::kMax ? max : out[i] + to[i];
    }
    first = false;
    count = 0;
  };
  for (std::int64_t kd = range_d.begin; kd < range_d.end; ++kd) {
    for (std::int64_t kh = range_h.begin; kh < range_h.end; ++kh) {
      const std::int64_t in_d = d * window.d.stride - window.d.pad_begin + kd;
      const std::int64_t in_h = h * window.h.stride - window.h.pad_begin + kh;
      rows[count++] = plane + (in_d * window.h.in + in_h) * window.w.in;
      if (count == kMostRows) flush();
    }
  }
  if (count > 0 || first) flush();
}

}  // namespace

std::int64_t CountedPositions(const WindowAxis& axis, std::int64_t out, bool count_padding) {
  if (!count_padding) {
    const KernelRange range = InsideRange(axis, out);
    return range.end - range.begin;
  }
  // Of the padded input, which a window of ceil_mode may leave at the end.
  const std::int64_t left = axis.in + axis.pad_begin + axis.pad_end - out * axis.stride;
  if (axis.dilation == 1) return std::min(axis.kernel, left);
  return std::min(axis.kernel, (left + axis.dilation - 1) / axis.dilation);
}

void PoolRows(OpContext& context, const PoolPlan& plan, bool max, bool count_padding,
              const float* x, float* y) {
  const Window3d& window = plan.window;
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const PoolRowShape shape{size(window.w.in), size(window.w.out), size(window.w.kernel),
                           size(window.w.stride), size(window.w.pad_begin)};
  const PoolKind kind = max ? PoolKind::kMax : PoolKind::kSum;
  const int threads = std::max(1, context.threads());
  const std::size_t scratch_row = PoolRowScratch(shape) + shape.out;
  auto* scratch = reinterpret_cast<float*>(
      context.Scratch((scratch_row * size(threads) + shape.out) * sizeof(float)));
  float* shares = scratch + scratch_row * size(threads);
  for (std::size_t i = 0; i < shape.out; ++i) {
    const auto at = static_cast<std::int64_t>(i);
    shares[i] = 1 / static_cast<float>(CountedPositions(window.w, at, count_padding));
  }
  const std::int64_t work = plan.planes * window.Out() * window.Kernel();
  const std::int64_t parts = std::min<std::int64_t>(threads, plan.planes);
  ParallelRanges(threads, parts, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      float* own = scratch + scratch_row * size(part);
      const Workspace workspace{own, own + PoolRowScratch(shape)};
      for (std::int64_t p = plan.planes * part / parts; p < plan.planes * (part + 1) / parts; ++p) {
        float* out = y + p * window.Out();
        for (std::int64_t d = 0; d < window.d.out; ++d) {
          const auto count_d = CountedPositions(window.d, d, count_padding);
          for (std::int64_t h = 0; h < window.h.out; ++h, out += window.w.out) {
            PoolOneRow(kind, window, shape, d, h, x + p * window.In(), workspace, out);
            if (max) continue;
            const float factor =
                1 / static_cast<float>(count_d * CountedPositions(window.h, h, count_padding));
            for (std::size_t i = 0; i < shape.out; ++i) out[i] *= factor * shares[i];
          }
        }
      }
    }
  });
}

}  // namespace espalier::runtime
