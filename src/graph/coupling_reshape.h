#pragma once

#include <cstdint>
#include <vector>

#include "graph/coupling_product.h"
#include "graph/coupling_rules.h"

namespace espalier::coupling {

/// Ties input 0 to output 0 of a node that gives the same elements, in the same order, other
/// dimensions.
///
/// Cuts both shapes into the shortest runs of axes with the same product. In a run, one facet of
/// the input may move: each of its places stands for all places of the output that see it. What
/// else is in the run stays in place.
class ReshapeTies {
 public:
  explicit ReshapeTies(NodeTies& ties) : ties_(ties) {}
  void Run();

 private:
  // Axes longer than 1, of which none is in another run.
  struct AxisRun {
    std::vector<std::size_t> in, out;
  };
  // False if the sizes are not known or differ.
  bool FindRuns();
  void Coarsen();
  void MergeRuns();
  void TieRun(const AxisRun& run);
  std::size_t AxesThatTell(const AxisRun& run, int facet, const std::vector<std::uint32_t>& places);
  int MovableFacet(const AxisRun& run);
  void HoldRun(const AxisRun& run, Reason reason);

  NodeTies& ties_;
  Value* in_ = nullptr;
  Value* out_ = nullptr;
  std::vector<Slot> slots_;  // of the input, as far as the output sees them
  std::vector<AxisRun> runs_;
};

}  // namespace espalier::coupling
