#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "graph/coupling_rules.h"

namespace espalier::coupling {

/// Indices of some labels, row-major.
struct LabelSpace {
  std::vector<int> labels;
  std::vector<std::int64_t> sizes;

  void Add(int label, std::int64_t size) {
    labels.push_back(label);
    sizes.push_back(size);
  }
  std::size_t Count() const;
};

/// For each place of `space` the place of `part`, which has some of its labels.
std::vector<std::uint32_t> Projected(const LabelSpace& space, const LabelSpace& part);

/// Ties the facets of a node's operands as a Product says.
///
/// Labels that stand on one facet of several axes form a component, so that (head, place in the
/// head) stays together. In a component, an operand with all labels is tied place by place. One
/// that has only leading labels (a factor a head) owns the places behind each of its own; one that
/// has other labels (a factor for each place in a head) is tied to all places that see it.
class ProductTies {
 public:
  ProductTies(NodeTies& ties, const Product& product) : ties_(ties), product_(product) {}
  void Run();

 private:
  // What an operand has on some labels: a facet, a fresh axis, or a held one.
  struct Part {
    Value* value = nullptr;
    std::size_t axis = 0;
    LabelSpace space;
    int facet = kNoFacet;
    bool is_held = false;
    Reason held = 0;
    bool passes = false;
  };

  bool FindSizes();
  int RootOf(int label);
  void FindParts();
  bool ReadFacet(const Operand& operand, int facet, Part* part);
  void JoinComponent(int root);
  int MakeOut(const LabelSpace& kept, const std::vector<std::size_t>& axes);
  bool AllHeld(const std::vector<Part*>& parts, const std::vector<std::size_t>& axes);
  bool IsHeld(const Part& part) const;
  Reason HeldBy(const Part& part) const;
  int FacetOf(Part* part);
  void Touch(const std::vector<Part*>& parts);
  void Attach(Part* part, const LabelSpace& space, int target, bool sums);
  void TreatAxes();

  NodeTies& ties_;
  const Product& product_;
  std::map<int, std::int64_t> sizes_;  // of labels; -1: nothing can be said
  std::map<int, int> parent_;
  std::vector<Part> parts_;
};

}  // namespace espalier::coupling
