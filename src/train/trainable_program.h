#pragma once

#include <map>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"
#include "train/op_table.h"

namespace espalier::train {

/// A node ready to run; values are numbers ("slots"), unique over all scopes.
struct Step {
  int scope = 0;
  Node node;
  const OpEntry* op = nullptr;
  std::vector<int> inputs;    ///< -1 for an optional input left out.
  std::vector<int> outputs;   ///< -1 for an output that nobody wants.
  std::vector<int> released;  ///< Values that nobody needs after this step.
  int cuts = -1;              ///< Index of what a Slice shares with others of the same value.
  int norm = -1;  ///< Index of the normalization that was inserted behind; -1 if there is none.
};

/// The steps of one scope, in order.
struct ScopeSteps {
  std::vector<Step> steps;
  std::vector<int> inputs;
  std::vector<int> outputs;
};

/// A graph with its names resolved. Same indices as Graph::scopes; functions stay empty.
struct TrainProgram {
  std::vector<ScopeSteps> scopes;
  std::vector<std::string> names;   ///< Of each slot.
  std::vector<int> defined_in;      ///< Scope of each slot.
  std::vector<int> constants;       ///< Index in Graph::constants for each slot, or -1.
  std::map<std::string, int> main;  ///< Slots of the main graph's values.

  int slot_count() const { return static_cast<int>(names.size()); }
};

/// @throws Error  kUnsupported, naming the operator and the node, for what cannot be trained;
///                kBadFile for a value that nothing defines.
TrainProgram MakeTrainProgram(const Graph& graph);

/// Fills Step::released: each value goes with its last reader, also inside of branches.
void FindLastReaders(TrainProgram* program);

/// Gives the Slices of the main graph that cut the same value a number, Step::cuts.
/// @return  How many there are for each number.
std::vector<std::size_t> FindSlicesOfOneValue(TrainProgram* program);

/// All slots that the step reads, those that its branches and bodies capture among them.
std::vector<int> ReadsOf(const TrainProgram& program, const Step& step);

}  // namespace espalier::train
