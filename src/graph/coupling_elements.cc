#include "graph/coupling_elements.h"

#include <algorithm>
#include <utility>

#include "espalier/base/error.h"

namespace espalier::coupling {
Reason Elements::ReasonOf(const std::string& text) {
  const auto [it, added] = reasons_.emplace(text, static_cast<Reason>(texts_.size()));
  if (added) texts_.push_back(text);
  return it->second;
}

int Elements::AddFacet(std::size_t count, int value, std::vector<std::size_t> axes) {
  const std::size_t first = parent_.size();
  if (count > kMostElements - first) {
    throw Error(ErrorCode::kUnsupported, "the network has too many channels to follow");
  }
  for (std::size_t i = 0; i < count; ++i) {
    parent_.push_back(static_cast<std::uint32_t>(first + i));
    held_.push_back(kFree);
  }
  facets_.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count), value,
                     std::move(axes), false});
  return static_cast<int>(facets_.size()) - 1;
}

std::uint32_t Elements::ClassOf(std::uint32_t element) {
  while (parent_[element] != element) {
    parent_[element] = parent_[parent_[element]];
    element = parent_[element];
  }
  return element;
}

void Elements::HoldOne(int facet, std::size_t position, Reason reason) {
  Reason& held = held_[ClassOf(At(facet).first + static_cast<std::uint32_t>(position))];
  held = std::min(held, reason);
}

void Elements::Hold(int facet, Reason reason) {
  for (std::size_t i = 0; i < At(facet).count; ++i) HoldOne(facet, i, reason);
}

// Every tie costs memory too: as much as its elements.
void Elements::Spend(std::size_t pairs) {
  spent_ += pairs;
  if (spent_ > 2 * kMostElements) {
    throw Error(ErrorCode::kUnsupported, "the network has too many channels to follow");
  }
}

void Elements::Join(Tie tie) {
  Spend(std::max<std::size_t>(tie.pairs.size(), At(tie.a).count));
  const Facet& a = At(tie.a);
  const Facet& b = At(tie.b);
  const auto unite = [this](std::uint32_t x, std::uint32_t y) {
    x = ClassOf(x);
    y = ClassOf(y);
    if (x == y) return;
    const std::uint32_t low = std::min(x, y);
    const std::uint32_t high = std::max(x, y);
    parent_[high] = low;
    held_[low] = std::min(held_[low], held_[high]);
  };
  for (const Pair& pair : tie.pairs) unite(a.first + pair.a, b.first + pair.b);
  for (std::uint32_t i = 0; tie.pairs.empty() && i < a.count; ++i) unite(a.first + i, b.first + i);
  ties_.push_back(std::move(tie));
}

void Elements::Own(Ownership ownership) {
  Spend(ownership.owner_of.size());
  ownerships_.push_back(std::move(ownership));
}

}  // namespace espalier::coupling
