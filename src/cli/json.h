#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/options.h"
#include "espalier/permute/permute_graph.h"
#include "espalier/prune/inspect.h"
#include "espalier/prune/prune.h"
#include "espalier/prune/verify.h"

namespace espalier::cli {

using Json = nlohmann::ordered_json;

// The keys of docs/command-line.md.
Json ToJson(const Inspection& inspection, const std::string& model);
Json ToJson(const VerifyReport& report, const std::string& model);
Json ToJson(const PruneReport& report, const PruneCommandOptions& options);
Json ToJson(const PermuteReport& report);

/// Prints with an indent of two; bytes that are not UTF-8 become U+FFFD.
void PrintJson(const Json& json, const Streams& streams);

}  // namespace espalier::cli
