#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace espalier {

/// Adds one layer's keys to a histogram, as AddKeyHistogram() does for the given digit and prefix.
using KeySource = std::function<void(int shift, std::uint32_t prefix, std::uint64_t* histogram)>;

/// Where a threshold cuts one layer.
struct KeyCounts {
  std::uint64_t below = 0;  ///< Units with a key below the threshold: all dropped.
  std::uint64_t ties = 0;   ///< Units with a key equal to it.
};

struct RankResult {
  std::uint32_t threshold = 0;    ///< The key of the count-th lowest unit.
  std::vector<KeyCounts> counts;  ///< For each source.
};

/// Finds the key of the `count`-th lowest of all units of all sources (count 1 is the lowest),
/// exactly, by radix selection over three digits of 11, 11 and 9 bits.
/// @param count  1 .. number of units.
/// @cost  Three passes over the sources, in parallel over sources.
RankResult SelectLowest(const std::vector<KeySource>& sources, std::uint64_t count, int threads);

/// Counts the units below and at a given key.
RankResult CountAtThreshold(const std::vector<KeySource>& sources, std::uint32_t threshold,
                            int threads);

/// How many units to drop from each source, when `count` are to go in all, lowest first, and no
/// source may lose more than its limit. Of units with equal keys, those of later sources and,
/// within one, of higher index go first.
struct Quota {
  std::uint64_t drop = 0;       ///< Units to drop.
  std::uint32_t threshold = 0;  ///< Every unit below goes; of those equal, drop - below of them.
  std::uint64_t below = 0;
  std::uint64_t ties = 0;
  bool limited = false;  ///< The limit held units back.
};
std::vector<Quota> DivideDrops(const std::vector<KeySource>& sources,
                               const std::vector<std::uint64_t>& limits, std::uint64_t count,
                               int threads);

/// Drops all units below `threshold`, up to each source's limit.
std::vector<Quota> DropBelow(const std::vector<KeySource>& sources,
                             const std::vector<std::uint64_t>& limits, std::uint32_t threshold,
                             int threads);

}  // namespace espalier
