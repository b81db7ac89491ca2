#pragma once

#include <cstdint>
#include <string_view>

namespace espalier {

/// A well-mixed 64-bit value that depends only on (seed, index): random numbers by position, so
/// that they do not depend on the order or the number of threads that ask for them.
/// @source  The output function of SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom
///          Number Generators", OOPSLA 2014, section 3.
constexpr std::uint64_t RandomAt(std::uint64_t seed, std::uint64_t index) noexcept {
  std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/// A seed of its own for each name: FNV-1a of `name`, mixed with `seed`.
constexpr std::uint64_t SeedFor(std::uint64_t seed, std::string_view name) noexcept {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return RandomAt(seed, hash);
}

}  // namespace espalier
