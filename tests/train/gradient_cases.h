#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"

namespace espalier::train {

/// A graph of one node (or one with a body), whose float inputs get gradients.
struct GradientCase {
  std::string op;
  std::string what;  ///< What is odd about it.
  Graph graph;
  std::map<std::string, std::pair<double, double>> ranges;  ///< Of inputs; else [-1, 1).
  bool training = false;
  bool in_runtime = true;  ///< Whether the runtime can tell what the result should be.
  std::string domain = "";
};

inline void PrintTo(const GradientCase& c, std::ostream* out) { *out << c.op << ": " << c.what; }

/// At least one for each operator of the table through which gradients flow.
std::vector<GradientCase> GradientCases();

/// Operators and types that no gradient passes: their values only.
std::vector<GradientCase> StepCases();  // gradient_cases_moves.cc

// The parts of the first list.
std::vector<GradientCase> LayerCases();      // gradient_cases_layers.cc
std::vector<GradientCase> PointwiseCases();  // gradient_cases_pointwise.cc
std::vector<GradientCase> MoveCases();       // gradient_cases_moves.cc

}  // namespace espalier::train
