#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cc"
#include "espalier/kernels/rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

// after foreach_target.h
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using One = hn::CappedTag<float, 1>;
constexpr size_t kBlock = 4096;

// Calls body(tag, i) for each vector of [0, count), then for each element that is left.
template <class Body>
HWY_INLINE void ForVectors(size_t count, const Body& body) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(d, i);
  for (; i < count; ++i) body(One(), i);
}

float RowMax(const float* x, size_t count) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  float max = -std::numeric_limits<float>::infinity();
  size_t i = 0;
  if (count >= lanes) {
    auto maxes = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= count; i += lanes) maxes = hn::Max(maxes, hn::LoadU(d, x + i));
    max = hn::GetLane(hn::MaxOfLanes(d, maxes));
  }
  for (; i < count; ++i) max = std::max(max, x[i]);
  return max;
}

// Sum over i of map(tag, vector at i), in blocks.
template <class Map>
HWY_INLINE double SumOf(size_t count, const Map& map) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  double sum = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(count, begin + kBlock);
    auto sum0 = hn::Zero(d), sum1 = sum0;
    auto rest = hn::Zero(One());
    size_t i = begin;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      sum0 = hn::Add(sum0, map(d, i));
      sum1 = hn::Add(sum1, map(d, i + lanes));
    }
    for (; i + lanes <= end; i += lanes) sum0 = hn::Add(sum0, map(d, i));
    for (; i < end; ++i) rest = hn::Add(rest, map(One(), i));
    sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
    sum += hn::GetLane(rest);
  }
  return sum;
}

// Highway's Exp gives 0 for NaN; a sum of it makes the whole row NaN, as in ONNX Runtime.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpKeepingNan(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

void SoftmaxRowKernel(const float* x, float* out, size_t count) {
  const float max = RowMax(x, count);
  const double sum = SumOf(count, [&](auto tag, size_t i) HWY_ATTR {
    const auto e = ExpKeepingNan(tag, hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, max)));
    hn::StoreU(e, tag, out + i);
    return e;
  });
  const auto factor = static_cast<float>(1 / sum);
  ForVectors(count, [&](auto tag, size_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(tag, out + i), hn::Set(tag, factor)), tag, out + i);
  });
}

void LogSoftmaxRowKernel(const float* x, float* out, size_t count) {
  const float max = RowMax(x, count);
  const double sum = SumOf(count, [&](auto tag, size_t i) HWY_ATTR {
    return ExpKeepingNan(tag, hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, max)));
  });
  const auto log = static_cast<float>(std::log(sum));
  ForVectors(count, [&](auto tag, size_t i) HWY_ATTR {
    const auto centred = hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, max));
    hn::StoreU(hn::Sub(centred, hn::Set(tag, log)), tag, out + i);
  });
}

Moments RowMomentsKernel(const float* x, size_t count) {
  const auto n = static_cast<double>(count);
  const double sum =
      SumOf(count, [&](auto tag, size_t i) HWY_ATTR { return hn::LoadU(tag, x + i); });
  const auto mean = static_cast<float>(sum / n);
  const double squares = SumOf(count, [&](auto tag, size_t i) HWY_ATTR {
    const auto centred = hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, mean));
    return hn::Mul(centred, centred);
  });
  return {mean, static_cast<float>(squares / n)};
}

void NormalizeRowKernel(const float* x, float mean, float factor, const float* scale,
                        const float* bias, float* out, size_t count) {
  ForVectors(count, [&](auto tag, size_t i) HWY_ATTR {
    auto y = hn::Mul(hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, mean)), hn::Set(tag, factor));
    if (scale != nullptr) y = hn::Mul(y, hn::LoadU(tag, scale + i));
    if (bias != nullptr) y = hn::Add(y, hn::LoadU(tag, bias + i));
    hn::StoreU(y, tag, out + i);
  });
}

void ScaleRowKernel(const float* x, float scale, float shift, float* out, size_t count) {
  ForVectors(count, [&](auto tag, size_t i) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::LoadU(tag, x + i), hn::Set(tag, scale), hn::Set(tag, shift)), tag,
               out + i);
  });
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(SoftmaxRowKernel);
HWY_EXPORT(LogSoftmaxRowKernel);
HWY_EXPORT(RowMomentsKernel);
HWY_EXPORT(NormalizeRowKernel);
HWY_EXPORT(ScaleRowKernel);

void SoftmaxRow(const float* x, float* out, std::size_t count) noexcept {
  HWY_DYNAMIC_DISPATCH(SoftmaxRowKernel)(x, out, count);
}

void LogSoftmaxRow(const float* x, float* out, std::size_t count) noexcept {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxRowKernel)(x, out, count);
}

Moments RowMoments(const float* x, std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(RowMomentsKernel)(x, count);
}

void NormalizeRow(const float* x, float mean, float factor, const float* scale, const float* bias,
                  float* out, std::size_t count) noexcept {
  HWY_DYNAMIC_DISPATCH(NormalizeRowKernel)(x, mean, factor, scale, bias, out, count);
}

void ScaleRow(const float* x, float scale, float shift, float* out, std::size_t count) noexcept {
  HWY_DYNAMIC_DISPATCH(ScaleRowKernel)(x, scale, shift, out, count);
}

}  // namespace espalier
#endif  // HWY_ONCE
