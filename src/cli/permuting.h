#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/model.h"
#include "cli/options.h"
#include "espalier/pattern/pattern.h"
#include "espalier/permute/permute_graph.h"
#include "espalier/prune/prune.h"

namespace espalier::cli {

PermuteEffort ParseEffort(const std::string& effort);

/// N and M of a pattern.
/// @throws Error  kInvalidArgument for a pattern that is not N:M.
NmGroup NmOf(const Pattern& pattern);

struct PermutedModel {
  PermuteReport report;
  std::optional<double> difference;  ///< That the check found; nothing without a check.
  double seconds = 0;                ///< Of the search.
};

/// Permutes an ONNX model's network for a pattern and checks it.
/// @param permute   Search, weighting and selection; the rest is filled in here.
/// @param no_check  Leaves the check out.
/// @throws Error  kInvalidArgument for a file of weights alone or a pattern that is not N:M;
///                kUnsupported if outputs differ by more than rounding, none is finite, or the
///                runtime lacks an operator, naming it; errors of PermuteGraph().
PermutedModel PermuteModel(Model& model, const Pattern& pattern, Alignment alignment,
                           PermuteGraphOptions permute, bool no_check,
                           const std::vector<std::string>& shapes, const CommonOptions& common,
                           const Streams& streams);

/// A table with a line for each group, and the totals.
std::string PermuteText(const PermuteReport& report, const std::string& pattern);

}  // namespace espalier::cli
