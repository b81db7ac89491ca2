#pragma once

#include "cli/model.h"
#include "cli/options.h"
#include "espalier/graph/layer_select.h"
#include "espalier/pattern/pattern.h"
#include "espalier/prune/prune.h"

namespace CLI {
class App;
}

namespace espalier::cli {

/// Adds `--only`, `--skip` and `--align`.
void AddSelection(CLI::App* app, SelectionOptions* selection);

/// Adds `--scope` and `--ratios`.
void AddRatio(CLI::App* sub, std::string* scope, std::string* ratios);

/// `--scope`.
RankScope ParseScope(const std::string& scope);

LayerSelection ParseSelection(const SelectionOptions& options);

/// `--align`, or its default for this pattern and model.
Alignment ParseAlignment(const SelectionOptions& options, const Pattern& pattern,
                         const Model& model);

/// Prints warnings, unless told to be quiet.
void PrintWarnings(const std::vector<std::string>& warnings, const CommonOptions& common,
                   const Streams& streams);

}  // namespace espalier::cli
