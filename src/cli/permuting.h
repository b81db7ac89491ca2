#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "espalier/graph/graph.h"
#include "espalier/pattern/pattern.h"
#include "espalier/permute/permute_graph.h"

namespace espalier::cli {

PermuteEffort ParseEffort(const std::string& effort);

/// N and M of a pattern.
/// @throws Error  kInvalidArgument for a pattern that is not N:M.
NmGroup NmOf(const Pattern& pattern);

/// Runs both networks on two sets of random inputs.
/// @param shapes  `--shape`.
/// @return  The greatest difference of an output, in parts of its largest value.
/// @throws Error  kUnsupported if the difference is more than rounding, if no output is finite, or
///                if the runtime lacks an operator, naming it.
double CheckSameFunction(const Graph& before, const Graph& after,
                         const std::vector<std::string>& shapes, const CommonOptions& common);

/// A table with a line for each group, and the totals.
std::string PermuteText(const PermuteReport& report, const std::string& pattern);

}  // namespace espalier::cli
