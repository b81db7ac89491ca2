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

/// How far outputs may be apart, in parts of the largest value: float32 sums in another order.
inline constexpr double kRoundingTolerance = 1e-4;

/// Runs both networks on two sets of random inputs.
/// @param shapes  `--shape`.
/// @return  The greatest relative difference of an output.
/// @throws Error  kUnsupported if the difference is more than rounding, or if the runtime lacks an
///                operator, naming it.
double CheckSameFunction(const Graph& before, const Graph& after,
                         const std::vector<std::string>& shapes, const CommonOptions& common);

/// A table with a line for each group, and the totals.
std::string PermuteText(const PermuteReport& report, const std::string& pattern);

}  // namespace espalier::cli
