#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier {

// The inner loops of the assignment solver (permute/assignment.h). Rows are 64-byte aligned and
// padded to a multiple of kAssignmentUnit places that nobody takes.

inline constexpr std::size_t kAssignmentUnit = 16;

/// What no place costs: the padding, and places that are out of the question.
inline constexpr std::int32_t kAssignmentNever = INT32_MAX;

struct CheapestPlaces {
  std::int32_t first = 0;   ///< The least of price[p] - gains[p] ...
  std::int32_t second = 0;  ///< ... and the least of all others, which may be equal.
  std::uint32_t place = 0;  ///< The lowest p that costs `first`.
};

/// Finds the two places that cost one mover least, where a place costs price[p] - gains[p].
/// @param count  Places with their padding, at least one unit.
/// @cost   O(count), no allocation. Whole numbers: the same on every ISA.
CheapestPlaces FindCheapestPlaces(const std::int32_t* price, const std::int32_t* gains,
                                  std::size_t count) noexcept;

struct NearestPlace {
  std::int32_t distance = 0;
  std::uint32_t place = 0;  ///< The lowest place at that distance.
};

/// Where open[p] is not kAssignmentNever and base + price[p] - gains[p] is less: sets open[p] and
/// distance[p] to that and from[p] to `mover`. Returns the nearest place that is open then.
/// @cost   As above.
NearestPlace RelaxPlaces(const std::int32_t* price, const std::int32_t* gains, std::int32_t base,
                         std::uint32_t mover, std::size_t count, std::int32_t* open,
                         std::int32_t* distance, std::uint32_t* from) noexcept;

/// The same in plain loops: the oracle of the tests.
CheapestPlaces FindCheapestPlacesReference(const std::int32_t* price, const std::int32_t* gains,
                                           std::size_t count) noexcept;
NearestPlace RelaxPlacesReference(const std::int32_t* price, const std::int32_t* gains,
                                  std::int32_t base, std::uint32_t mover, std::size_t count,
                                  std::int32_t* open, std::int32_t* distance,
                                  std::uint32_t* from) noexcept;

}  // namespace espalier
