#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/assignment_row.cc"
#include "espalier/kernels/assignment_row.h"

#include "hwy/foreach_target.h"  // compiles the part below once for each ISA
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<int32_t, kAssignmentUnit>;
using Unsigned = hn::RebindToUnsigned<Tag>;
using Vec = hn::Vec<Tag>;

int32_t LeastLane(Vec v) { return hn::GetLane(hn::MinOfLanes(Tag(), v)); }

// The first p with cost(p) == value; there is one.
template <class Cost>
HWY_INLINE uint32_t FirstEqual(size_t count, int32_t value, const Cost& cost) {
  const Tag d;
  const Vec wanted = hn::Set(d, value);
  for (size_t p = 0; p < count; p += hn::Lanes(d)) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(cost(p), wanted));
    if (lane >= 0) return static_cast<uint32_t>(p + static_cast<size_t>(lane));
  }
  return 0;
}

CheapestPlaces FindCheapest(const int32_t* price, const int32_t* gains, size_t count) {
  const Tag d;
  const auto cost = [&](size_t p) HWY_ATTR {
    return hn::Sub(hn::Load(d, price + p), hn::Load(d, gains + p));
  };
  Vec first = hn::Set(d, kAssignmentNever);
  Vec second = first;
  for (size_t p = 0; p < count; p += hn::Lanes(d)) {
    const Vec here = cost(p);
    second = hn::Min(second, hn::Max(first, here));
    first = hn::Min(first, here);
  }
  CheapestPlaces found;
  found.first = LeastLane(first);
  found.place = FirstEqual(count, found.first, cost);
  // The second is the least of the lanes' seconds and of the other lanes' firsts. One lane whose
  // first is the least goes out; if another has the same, that is the second.
  const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(first, hn::Set(d, found.first)));
  const auto out = hn::Eq(hn::Iota(d, 0), hn::Set(d, static_cast<int32_t>(lane)));
  const Vec others = hn::IfThenElse(out, hn::Set(d, kAssignmentNever), first);
  found.second = LeastLane(hn::Min(second, others));
  return found;
}

NearestPlace Relax(const int32_t* price, const int32_t* gains, int32_t base, uint32_t mover,
                   size_t count, int32_t* open, int32_t* distance, uint32_t* from) {
  const Tag d;
  const Unsigned du;
  const Vec never = hn::Set(d, kAssignmentNever);
  const Vec start = hn::Set(d, base);
  const auto movers = hn::Set(du, mover);
  Vec least = never;
  for (size_t p = 0; p < count; p += hn::Lanes(d)) {
    const Vec way = hn::Sub(hn::Add(start, hn::Load(d, price + p)), hn::Load(d, gains + p));
    Vec now = hn::Load(d, open + p);
    const auto shorter = hn::AndNot(hn::Eq(now, never), hn::Lt(way, now));
    now = hn::IfThenElse(shorter, way, now);
    hn::Store(now, d, open + p);
    hn::Store(hn::IfThenElse(shorter, way, hn::Load(d, distance + p)), d, distance + p);
    const auto changed = hn::RebindMask(du, shorter);
    hn::Store(hn::IfThenElse(changed, movers, hn::Load(du, from + p)), du, from + p);
    least = hn::Min(least, now);
  }
  NearestPlace nearest;
  nearest.distance = LeastLane(least);
  nearest.place =
      FirstEqual(count, nearest.distance, [&](size_t p) HWY_ATTR { return hn::Load(d, open + p); });
  return nearest;
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {
HWY_EXPORT(FindCheapest);
HWY_EXPORT(Relax);

CheapestPlaces FindCheapestPlaces(const std::int32_t* price, const std::int32_t* gains,
                                  std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(FindCheapest)(price, gains, count);
}

NearestPlace RelaxPlaces(const std::int32_t* price, const std::int32_t* gains, std::int32_t base,
                         std::uint32_t mover, std::size_t count, std::int32_t* open,
                         std::int32_t* distance, std::uint32_t* from) noexcept {
  return HWY_DYNAMIC_DISPATCH(Relax)(price, gains, base, mover, count, open, distance, from);
}

}  // namespace espalier
#endif  // HWY_ONCE
