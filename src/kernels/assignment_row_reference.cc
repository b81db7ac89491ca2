#include <algorithm>

#include "espalier/kernels/assignment_row.h"

namespace espalier {

CheapestPlaces FindCheapestPlacesReference(const std::int32_t* price, const std::int32_t* gains,
                                           std::size_t count) noexcept {
  CheapestPlaces found{kAssignmentNever, kAssignmentNever, 0};
  for (std::uint32_t p = 0; p < count; ++p) {
    const std::int32_t cost = price[p] - gains[p];
    if (cost < found.first) {
      found.second = found.first;
      found.first = cost;
      found.place = p;
    } else {
      found.second = std::min(found.second, cost);
    }
  }
  return found;
}

NearestPlace RelaxPlacesReference(const std::int32_t* price, const std::int32_t* gains,
                                  std::int32_t base, std::uint32_t mover, std::size_t count,
                                  std::int32_t* open, std::int32_t* distance,
                                  std::uint32_t* from) noexcept {
  NearestPlace nearest{kAssignmentNever, 0};
  for (std::uint32_t p = 0; p < count; ++p) {
    const std::int32_t way = base + price[p] - gains[p];
    if (open[p] != kAssignmentNever && way < open[p]) {
      open[p] = distance[p] = way;
      from[p] = mover;
    }
    if (open[p] < nearest.distance) nearest = {open[p], p};
  }
  return nearest;
}

}  // namespace espalier
