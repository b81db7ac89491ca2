#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/base/parallel.h"

namespace espalier::cli {

/// Options that every subcommand takes.
struct CommonOptions {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  int threads = DefaultThreads();
};

/// Where results and talk go; tests pass string streams.
struct Streams {
  std::ostream& out;   ///< Results.
  std::ostream& talk;  ///< Progress, warnings, errors.
};

/// Exit statuses, as in docs/command-line.md.
enum ExitStatus : int {
  kDone = 0,
  kCheckSaidNo = 1,
  kWrongUse = 2,
  kBadFile = 3,
  kUnsupported = 4,
  kCouldNotWrite = 5,
  kOurBug = 70,
  kStopped = 130,  ///< By a signal, in good order.
};

/// Options that choose layers, as given.
struct SelectionOptions {
  std::vector<std::string> only;
  std::vector<std::string> skip;
  std::string align;  ///< "tensorrt", "none", or empty for the default.
};

struct InspectOptions {
  std::string model;
};

struct VerifyCommandOptions {
  std::string model;
  std::string pattern;
  std::optional<double> sparsity;
  std::string scope = "layer";
  std::string ratios;  ///< CSV file, or empty.
  SelectionOptions selection;
};

struct PruneCommandOptions {
  std::string model;
  std::string output;
  std::string pattern;
  std::string criterion = "magnitude";
  std::string scope = "layer";
  std::optional<double> sparsity;
  std::optional<double> threshold;
  std::string ratios;  ///< CSV file, or empty.
  double max_layer_sparsity = 1.0;
  std::optional<double> min_weights_per_channel;
  std::uint64_t seed = 0;
  bool permute = false;  ///< Reorder channels first, as `permute` does.
  std::string effort = "default";
  bool no_check = false;            ///< As for `permute`, ...
  std::vector<std::string> shapes;  ///< ... and this.
  bool force = false;
  SelectionOptions selection;
};

struct PermuteCommandOptions {
  std::string model;
  std::string output;  ///< May be empty for a matrix.
  std::string pattern;
  std::string effort = "default";
  std::string weight = "magnitude";
  std::uint64_t seed = 0;
  bool undo = false;
  bool no_check = false;
  std::vector<std::string> shapes;  ///< For the check; as PlanOptions::shapes.
  bool force = false;
  SelectionOptions selection;
};

// The subcommands. Each parses its words, calls one library function and prints. They return the
// exit status and throw espalier::Error, which RunProgram turns into text and a status.
int RunInspect(const InspectOptions& options, const CommonOptions& common, const Streams& streams);
int RunVerify(const VerifyCommandOptions& options, const CommonOptions& common,
              const Streams& streams);
int RunPrune(const PruneCommandOptions& options, const CommonOptions& common,
             const Streams& streams);
int RunPermute(const PermuteCommandOptions& options, const CommonOptions& common,
               const Streams& streams);
int RunPatterns(const CommonOptions& common, const Streams& streams);
int RunCriteria(const CommonOptions& common, const Streams& streams);

}  // namespace espalier::cli
