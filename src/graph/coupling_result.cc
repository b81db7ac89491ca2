#include "graph/coupling_result.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

namespace espalier::coupling {
namespace {

constexpr std::uint32_t kNone = 0xFFFFFFFF;

// What a class stands in: two sums of hashes, so that two classes that differ look alike in one of
// 2^128 cases. A sum does not depend on the order.
struct Signature {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  auto operator<=>(const Signature&) const = default;
};

// Finalizer of splitmix64.
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class Result {
 public:
  Result(const std::vector<Value>& values, Elements* elements)
      : values_(values), elements_(*elements) {}
  std::vector<CouplingGroup> Groups();

 private:
  void NumberClasses();
  void RankOccurrences();
  void PassSums();
  void HoldOwners();
  void Sign();
  void Note(std::uint32_t in_class, std::uint64_t kind, std::uint64_t x, std::uint64_t y,
            std::uint64_t z);
  void FindGroups();
  void AddTensors();
  void AddCells();
  void MoveOwnersBack();
  std::uint32_t Class(int facet, std::uint32_t position) const {
    return class_of_[FacetAt(facet).first + position];
  }
  const Facet& FacetAt(int facet) const {
    return elements_.facets()[static_cast<std::size_t>(facet)];
  }

  const std::vector<Value>& values_;
  Elements& elements_;
  std::vector<std::uint32_t> class_of_;  // of elements; numbered by their first element
  std::vector<std::uint32_t> rank_;      // of elements: among those of its class on its facet
  std::vector<std::uint32_t> first_;     // of classes: first element
  std::vector<Signature> signature_;     // of classes
  std::vector<std::uint32_t> owner_;     // of classes; kNone
  std::vector<bool> owns_;               // of classes
  std::vector<std::uint32_t> group_of_;  // of classes
  std::vector<std::uint32_t> number_;    // of classes, in their group
  std::vector<CouplingGroup> groups_;
  std::vector<std::vector<std::uint32_t>> members_;  // of groups: classes
};

void Result::NumberClasses() {
  class_of_.resize(elements_.Count());
  for (std::uint32_t e = 0; e < elements_.Count(); ++e) {
    const std::uint32_t root = elements_.ClassOf(e);  // the lowest: numbered already
    if (root == e) first_.push_back(e);
    class_of_[e] = root == e ? static_cast<std::uint32_t>(first_.size()) - 1 : class_of_[root];
  }
  signature_.resize(first_.size());
  owner_.assign(first_.size(), kNone);
  owns_.assign(first_.size(), false);
}

void Result::RankOccurrences() {
  rank_.resize(class_of_.size());
  std::vector<std::uint32_t> seen(first_.size(), 0);
  for (const Facet& facet : elements_.facets()) {
    for (std::uint32_t i = 0; i < facet.count; ++i) {
      rank_[facet.first + i] = seen[class_of_[facet.first + i]]++;
    }
    for (std::uint32_t i = 0; i < facet.count; ++i) seen[class_of_[facet.first + i]] = 0;
  }
}

// A weight that is transposed or dequantized before a layer sums over it.
void Result::PassSums() {
  for (std::size_t t = elements_.ties().size(); t-- > 0;) {
    const Tie& tie = elements_.ties()[t];
    if (!tie.passes || !FacetAt(tie.b).summed) continue;
    const auto is_weight = [this](int value) {
      return value >= 0 && values_[static_cast<std::size_t>(value)].from_constants;
    };
    if (!is_weight(FacetAt(tie.a).value) || !is_weight(FacetAt(tie.b).value)) continue;
    elements_.At(tie.a).summed = true;
  }
}

// What moves an owner must move all that it owns; no cell can say that.
void Result::HoldOwners() {
  const Reason reason = elements_.ReasonOf("they stand for whole heads or groups of channels");
  for (const Ownership& ownership : elements_.ownerships()) {
    elements_.Hold(ownership.owner, reason);
    for (std::uint32_t i = 0; i < ownership.owner_of.size(); ++i) {
      const std::uint32_t owner = Class(ownership.owner, ownership.owner_of[i]);
      std::uint32_t& owned_by = owner_[Class(ownership.owned, i)];
      if (owned_by == kNone) owned_by = owner;
      owns_[owner] = true;
    }
  }
}

void Result::Note(std::uint32_t in_class, std::uint64_t kind, std::uint64_t x, std::uint64_t y,
                  std::uint64_t z) {
  Signature& signature = signature_[in_class];
  std::uint64_t a = 0x9e3779b97f4a7c15u;
  std::uint64_t b = 0xd1b54a32d192ed03u;
  for (const std::uint64_t word : {kind, x, y, z}) {
    a = Mix(a + word + 0x9e3779b97f4a7c15u);
    b = Mix(b * 3 + word + 0xd1b54a32d192ed03u);
  }
  signature.a += a;
  signature.b += b;
}

// Two classes may change places if they stand on the same facets, equally often, and each tie that
// joins the k-th place of one joins the k-th place of the other. Then the operators cannot tell
// the network with changed places from the one without.
void Result::Sign() {
  for (std::size_t f = 0; f < elements_.facets().size(); ++f) {
    const Facet& facet = elements_.facets()[f];
    for (std::uint32_t e = facet.first; e < facet.first + facet.count; ++e) {
      Note(class_of_[e], 1, f, rank_[e], 0);
    }
  }
  for (std::size_t t = 0; t < elements_.ties().size(); ++t) {
    const Tie& tie = elements_.ties()[t];
    const Facet& a = FacetAt(tie.a);
    const Facet& b = FacetAt(tie.b);
    for (std::uint32_t i = 0; tie.pairs.empty() && i < a.count; ++i) {
      Note(class_of_[a.first + i], 2, t, rank_[a.first + i], rank_[b.first + i]);
    }
    for (const Pair& pair : tie.pairs) {
      Note(class_of_[a.first + pair.a], 2, t, rank_[a.first + pair.a], rank_[b.first + pair.b]);
    }
  }
  for (std::size_t o = 0; o < elements_.ownerships().size(); ++o) {
    const Ownership& ownership = elements_.ownerships()[o];
    const std::uint32_t first = FacetAt(ownership.owned).first;
    for (std::uint32_t i = 0; i < ownership.owner_of.size(); ++i) {
      Note(class_of_[first + i], 3, o, rank_[first + i], ownership.owner_of[i]);
    }
  }
}

// Classes on a common facet are in one group.
void Result::FindGroups() {
  std::vector<std::uint32_t> parent(first_.size());
  std::iota(parent.begin(), parent.end(), 0u);
  const auto root_of = [&parent](std::uint32_t c) {
    while (parent[c] != c) c = parent[c] = parent[parent[c]];
    return c;
  };
  for (const Facet& facet : elements_.facets()) {
    for (std::uint32_t i = 1; i < facet.count; ++i) {
      const std::uint32_t a = root_of(class_of_[facet.first]);
      const std::uint32_t b = root_of(class_of_[facet.first + i]);
      parent[std::max(a, b)] = std::min(a, b);
    }
  }
  group_of_.resize(first_.size());
  number_.resize(first_.size());
  for (std::uint32_t c = 0; c < first_.size(); ++c) {
    const std::uint32_t root = root_of(c);
    if (root == c) {
      group_of_[c] = static_cast<std::uint32_t>(members_.size());
      members_.emplace_back();
    }
    group_of_[c] = group_of_[root];
    number_[c] = static_cast<std::uint32_t>(members_[group_of_[c]].size());
    members_[group_of_[c]].push_back(c);
  }
  groups_.resize(members_.size());
  for (std::size_t g = 0; g < groups_.size(); ++g) groups_[g].channels = members_[g].size();
}

void Result::AddTensors() {
  for (const Facet& facet : elements_.facets()) {
    if (facet.value < 0 || facet.count == 0) continue;
    const Value& value = values_[static_cast<std::size_t>(facet.value)];
    if (value.constant < 0) continue;
    CoupledTensor tensor;
    tensor.constant = value.constant;
    tensor.reduced = facet.summed;
    for (const std::size_t axis : facet.axes) tensor.axes.push_back(static_cast<int>(axis));
    for (std::uint32_t i = 0; i < facet.count; ++i) {
      tensor.channels.push_back(number_[class_of_[facet.first + i]]);
    }
    groups_[group_of_[class_of_[facet.first]]].tensors.push_back(std::move(tensor));
  }
}

void Result::AddCells() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    std::map<Signature, std::vector<std::uint32_t>> alike;
    Reason held = Elements::kFree;
    bool single = false;
    for (const std::uint32_t c : members_[g]) {
      const Reason by = elements_.HeldBy(first_[c]);
      held = std::min(held, by);
      if (by == Elements::kFree) alike[signature_[c]].push_back(c);
    }
    for (const auto& [signature, classes] : alike) {
      single = single || classes.size() == 1;
      if (classes.size() < 2) continue;
      ChannelCell cell;
      for (const std::uint32_t c : classes) cell.channels.push_back(number_[c]);
      if (owner_[classes.front()] != kNone) {
        cell.owner_group = static_cast<int>(group_of_[owner_[classes.front()]]);
        cell.owner_channel = number_[owner_[classes.front()]];
      }
      groups_[g].cells.push_back(std::move(cell));
    }
    std::ranges::sort(groups_[g].cells, {}, [](const ChannelCell& cell) { return cell.channels; });
    if (single) groups_[g].refusal = "no other channel is used in the same places";
    if (held != Elements::kFree) groups_[g].refusal = elements_.Text(held);
  }
}

// Keeps the groups that a layer sums over, in their order; behind them those that own their cells.
void Result::MoveOwnersBack() {
  std::vector<std::uint32_t> place(groups_.size(), kNone);  // first summed facet
  for (std::size_t f = elements_.facets().size(); f-- > 0;) {
    const Facet& facet = elements_.facets()[f];
    if (!facet.summed || facet.count == 0) continue;
    place[group_of_[class_of_[facet.first]]] = static_cast<std::uint32_t>(f);
  }
  std::vector<std::size_t> order;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (place[g] != kNone && !groups_[g].tensors.empty()) order.push_back(g);
  }
  std::ranges::sort(order, {}, [&place](std::size_t g) { return place[g]; });
  std::vector<int> at(groups_.size(), -1);
  for (std::size_t i = 0; i < order.size(); ++i) at[order[i]] = static_cast<int>(i);
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (ChannelCell& cell : groups_[order[i]].cells) {
      if (cell.owner_group < 0) continue;
      int& owner_at = at[static_cast<std::size_t>(cell.owner_group)];
      if (owner_at < 0) {
        owner_at = static_cast<int>(order.size());
        order.push_back(static_cast<std::size_t>(cell.owner_group));
      }
      cell.owner_group = owner_at;
    }
  }
  std::vector<CouplingGroup> kept;
  for (const std::size_t g : order) kept.push_back(std::move(groups_[g]));
  groups_ = std::move(kept);
}

std::vector<CouplingGroup> Result::Groups() {
  NumberClasses();
  RankOccurrences();
  PassSums();
  HoldOwners();
  Sign();
  FindGroups();
  AddTensors();
  AddCells();
  MoveOwnersBack();
  return std::move(groups_);
}

}  // namespace

std::vector<CouplingGroup> GroupsOf(const std::vector<Value>& values, Elements* elements) {
  return Result(values, elements).Groups();
}

}  // namespace espalier::coupling
