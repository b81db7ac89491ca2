#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "espalier/base/weight_view.h"

namespace espalier::coupling {

/// Index of a text that says why elements stay in place; texts that come first have lower ones.
using Reason = std::uint32_t;

inline constexpr int kNoFacet = -1;

/// Elements that are followed in all: about 40 bytes each with their ties, so under 4 GiB.
/// Networks of 100 M parameters have under 10 M.
inline constexpr std::size_t kMostElements = std::size_t{1} << 26;

/// Positions that a permutation may exchange: those of one axis of a value, or of several axes
/// (row-major over them). Its elements are first, first + 1, ...
struct Facet {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  int value = -1;                 ///< -1: of no value.
  std::vector<std::size_t> axes;  ///< Of the value, rising.
  bool summed = false;            ///< A layer sums over it.
};

/// Two positions, of two facets.
struct Pair {
  std::uint32_t a;
  std::uint32_t b;
};

/// The positions that an operator handles alike: a permutation that moves one moves the other.
struct Tie {
  int a = kNoFacet;
  int b = kNoFacet;
  std::vector<Pair> pairs;  ///< Empty: position i with position i.
  bool passes = false;  ///< `b` holds what `a` holds: if a layer sums over `b`, it does over `a`.
};

/// Positions of one facet belong to positions of another: a permutation that moves one of them to
/// a place of another owner must move the owner there too.
struct Ownership {
  int owner = kNoFacet;
  int owned = kNoFacet;
  std::vector<std::uint32_t> owner_of;  ///< One position of `owner` for each of `owned`.
};

/// Elements, the classes that ties make of them, and what holds them.
class Elements {
 public:
  Reason ReasonOf(const std::string& text);
  const std::string& Text(Reason reason) const { return texts_[reason]; }

  /// @throws Error  kUnsupported if there are too many elements; the limit keeps memory below 4
  /// GiB.
  int AddFacet(std::size_t count, int value = -1, std::vector<std::size_t> axes = {});

  void Hold(int facet, Reason reason);
  void HoldOne(int facet, std::size_t position, Reason reason);
  void Join(Tie tie);
  void Own(Ownership ownership);

  Facet& At(int facet) { return facets_[static_cast<std::size_t>(facet)]; }
  const std::vector<Facet>& facets() const { return facets_; }
  const std::vector<Tie>& ties() const { return ties_; }
  const std::vector<Ownership>& ownerships() const { return ownerships_; }

  std::uint32_t Count() const { return static_cast<std::uint32_t>(parent_.size()); }
  /// The element that stands for the class: its lowest one.
  std::uint32_t ClassOf(std::uint32_t element);

  static constexpr Reason kFree = 0xFFFFFFFF;
  /// The first reason that holds one of the class's elements; kFree if none does.
  Reason HeldBy(std::uint32_t element) { return held_[ClassOf(element)]; }

 private:
  void Spend(std::size_t pairs);

  std::vector<Facet> facets_;
  std::vector<Tie> ties_;
  std::vector<Ownership> ownerships_;
  std::vector<std::uint32_t> parent_;
  std::vector<Reason> held_;  // of classes
  std::vector<std::string> texts_;
  std::map<std::string, Reason> reasons_;
  std::size_t spent_ = 0;  // pairs of all ties
};

}  // namespace espalier::coupling
