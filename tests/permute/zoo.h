#pragma once

#include <string>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier::testing {

/// A small network that runs, and what an exact analysis of coupled channels must say of it.
struct ZooGraph {
  std::string name;
  Graph graph;
  /// Whether at least one group of channels that a layer sums over can be permuted.
  bool moves = true;
  /// If not empty: a part of the refusal that must appear for some group.
  std::string reason;
};

/// One network for each way in which operators couple channels, alone and combined. Inputs are
/// float of known shape and take any numbers in (-1, 1); weights, biases, scales, means, variances
/// and slopes are random and differ from channel to channel. Names that begin with "apex_" are the
/// cases on which the permutation search of NVIDIA's apex fails.
std::vector<ZooGraph> MakeZoo();

}  // namespace espalier::testing
