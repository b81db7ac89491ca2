#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/map_row.cc"
#include "espalier/kernels/map_row.h"

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"
// clang-format off
#include "hwy/contrib/math/math-inl.h"  // only after foreach_target.h
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Highway's Exp is for numbers up to 104 and gives 0 for NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V FullExp(D d, V x) {
  const auto overflow = hn::Set(d, 88.7228394f);  // e^x is over the largest float32
  const auto exp = hn::Exp(d, hn::Min(x, overflow));
  const auto bounded = hn::IfThenElse(hn::Gt(x, overflow), hn::Inf(d), exp);
  return hn::IfThenElse(hn::IsNaN(x), x, bounded);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Horner(D, V, V sum) {
  return sum;
}
template <class D, class V = hn::Vec<D>, typename... More>
HWY_INLINE V Horner(D d, V x, V sum, float next, More... more) {
  return Horner(d, x, hn::MulAdd(sum, x, hn::Set(d, next)), more...);
}

// Two weighted least-squares fits of Chebyshev polynomials, good to 3 * 2^-24: erf(x) / x in x^2 up
// to 1, and the exponent of 1 - erf(x) from there to 3.95, where erf rounds to 1.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  const auto one = hn::Set(d, 1.0f);
  const auto size = hn::Abs(x);
  const auto square = hn::Mul(x, x);
  const auto near =
      hn::Mul(x, Horner(d, square, hn::Set(d, 7.889119e-05f), -0.0008020841f, 0.005189535f,
                        -0.026854444f, 0.112836f, -0.37612626f, 1.1283791f));
  const auto top = hn::Min(size, hn::Set(d, 3.95f));
  const auto exponent = Horner(d, top, hn::Set(d, 2.168685e-05f), -0.0004413364f, 0.004204562f,
                               -0.025208257f, 0.10841858f, 0.6332199f, 1.1295785f, -0.00018804033f);
  const auto far = hn::CopySign(hn::Sub(one, hn::Exp(d, hn::Neg(exponent))), x);
  return hn::IfThenElse(hn::Ge(size, one), far, near);  // NaN goes the near way
}

template <MapKind kKind, class D, class V = hn::Vec<D>>
HWY_INLINE V MapVector(D d, V x) {
  const auto one = hn::Set(d, 1.0f);
  if constexpr (kKind == MapKind::kExp) {
    return FullExp(d, x);
  } else if constexpr (kKind == MapKind::kErf) {
    return Erf(d, x);
  } else if constexpr (kKind == MapKind::kGelu) {
    const auto half = hn::Mul(x, hn::Set(d, 0.5f));
    const auto gate = hn::Add(one, Erf(d, hn::Mul(x, hn::Set(d, 0.70710678f))));
    return hn::IfThenZeroElse(hn::Eq(gate, hn::Zero(d)), hn::Mul(half, gate));  // -inf: 0
  } else if constexpr (kKind == MapKind::kTanhGelu) {
    // x * sigmoid(2 * inner); 2 * sqrt(2 / pi) and that times 0.044715.
    const auto cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.071354816f), hn::Set(d, 1.5957691f));
    const auto exp = FullExp(d, hn::Neg(hn::Mul(x, cubic)));
    const auto gate = hn::Div(one, hn::Add(one, exp));
    return hn::IfThenZeroElse(hn::Eq(gate, hn::Zero(d)), hn::Mul(x, gate));
  } else if constexpr (kKind == MapKind::kSigmoid) {
    return hn::Div(one, hn::Add(one, FullExp(d, hn::Neg(x))));
  } else {
    return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x));
  }
}

template <MapKind kKind>
void MapAll(const float* x, float* out, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(MapVector<kKind>(d, hn::LoadU(d, x + i)), d, out + i);
  }
  if (i == count) return;
  HWY_ALIGN float rest[hn::MaxLanes(d)] = {};
  for (size_t k = i; k < count; ++k) rest[k - i] = x[k];
  hn::Store(MapVector<kKind>(d, hn::Load(d, rest)), d, rest);
  for (size_t k = i; k < count; ++k) out[k] = rest[k - i];
}

void MapRowKernel(MapKind kind, const float* x, float* out, size_t count) {
  switch (kind) {
    case MapKind::kExp:
      return MapAll<MapKind::kExp>(x, out, count);
    case MapKind::kErf:
      return MapAll<MapKind::kErf>(x, out, count);
    case MapKind::kGelu:
      return MapAll<MapKind::kGelu>(x, out, count);
    case MapKind::kTanhGelu:
      return MapAll<MapKind::kTanhGelu>(x, out, count);
    case MapKind::kSigmoid:
      return MapAll<MapKind::kSigmoid>(x, out, count);
    case MapKind::kTanh:
      return MapAll<MapKind::kTanh>(x, out, count);
  }
}

template <CombineKind kKind, class V>
HWY_INLINE V CombineVectors(V a, V b) {
  if constexpr (kKind == CombineKind::kAdd) {
    return hn::Add(a, b);
  } else if constexpr (kKind == CombineKind::kSubtract) {
    return hn::Sub(a, b);
  } else if constexpr (kKind == CombineKind::kMultiply) {
    return hn::Mul(a, b);
  } else if constexpr (kKind == CombineKind::kDivide) {
    return hn::Div(a, b);
  } else if constexpr (kKind == CombineKind::kMax) {
    // x86's max gives b if either is NaN.
    return hn::IfThenElse(hn::IsNaN(a), a, hn::IfThenElse(hn::IsNaN(b), b, hn::Max(a, b)));
  } else {
    return hn::IfThenElse(hn::IsNaN(a), a, hn::IfThenElse(hn::IsNaN(b), b, hn::Min(a, b)));
  }
}

template <CombineKind kKind>
void CombineAll(const float* a, size_t a_step, const float* b, size_t b_step, float* out,
                size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const float a0 = *a;  // out may take its place
  const float b0 = *b;
  const auto all = [&](auto load_a, auto load_b) HWY_ATTR {
    size_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
      const auto first = CombineVectors<kKind>(load_a(d, i), load_b(d, i));
      const auto second = CombineVectors<kKind>(load_a(d, i + lanes), load_b(d, i + lanes));
      hn::StoreU(first, d, out + i);
      hn::StoreU(second, d, out + i + lanes);
    }
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(CombineVectors<kKind>(load_a(d, i), load_b(d, i)), d, out + i);
    }
    const hn::CappedTag<float, 1> one;
    for (; i < count; ++i) {
      hn::StoreU(CombineVectors<kKind>(load_a(one, i), load_b(one, i)), one, out + i);
    }
  };
  const auto run_a = [a](auto tag, size_t i) HWY_ATTR { return hn::LoadU(tag, a + i); };
  const auto run_b = [b](auto tag, size_t i) HWY_ATTR { return hn::LoadU(tag, b + i); };
  const auto same_a = [a0](auto tag, size_t) HWY_ATTR { return hn::Set(tag, a0); };
  const auto same_b = [b0](auto tag, size_t) HWY_ATTR { return hn::Set(tag, b0); };
  if (a_step != 0 && b_step != 0) {
    all(run_a, run_b);
  } else if (a_step != 0) {
    all(run_a, same_b);
  } else if (b_step != 0) {
    all(same_a, run_b);
  } else {
    all(same_a, same_b);
  }
}

void CombineRowKernel(CombineKind kind, const float* a, size_t a_step, const float* b,
                      size_t b_step, float* out, size_t count) {
  switch (kind) {
    case CombineKind::kAdd:
      return CombineAll<CombineKind::kAdd>(a, a_step, b, b_step, out, count);
    case CombineKind::kSubtract:
      return CombineAll<CombineKind::kSubtract>(a, a_step, b, b_step, out, count);
    case CombineKind::kMultiply:
      return CombineAll<CombineKind::kMultiply>(a, a_step, b, b_step, out, count);
    case CombineKind::kDivide:
      return CombineAll<CombineKind::kDivide>(a, a_step, b, b_step, out, count);
    case CombineKind::kMax:
      return CombineAll<CombineKind::kMax>(a, a_step, b, b_step, out, count);
    case CombineKind::kMin:
      return CombineAll<CombineKind::kMin>(a, a_step, b, b_step, out, count);
  }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(MapRowKernel);
HWY_EXPORT(CombineRowKernel);

void MapRow(MapKind kind, const float* x, float* out, std::size_t count) noexcept {
  HWY_DYNAMIC_DISPATCH(MapRowKernel)(kind, x, out, count);
}

void CombineRow(CombineKind kind, const float* a, std::size_t a_step, const float* b,
                std::size_t b_step, float* out, std::size_t count) noexcept {
  if (count == 0) return;
  HWY_DYNAMIC_DISPATCH(CombineRowKernel)(kind, a, a_step, b, b_step, out, count);
}

}  // namespace espalier
#endif  // HWY_ONCE
