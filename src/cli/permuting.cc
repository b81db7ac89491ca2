#include "cli/permuting.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/error.h"
#include "espalier/runtime/compare.h"
#include "espalier/runtime/session.h"

namespace espalier::cli {
namespace {

constexpr std::uint64_t kCheckSamples = 2;

Session Prepared(Graph graph, const std::vector<std::string>& shapes, const CommonOptions& common) {
  SessionOptions options;
  options.threads = common.threads;
  options.tune = false;
  FixShapes(graph, shapes);
  return Session(std::move(graph), options);
}

double GreatestDifference(const Graph& before, const Graph& after,
                          const std::vector<std::string>& shapes, const CommonOptions& common) {
  Session first = Prepared(before, shapes, common);
  Session second = Prepared(after, shapes, common);
  double worst = 0;
  for (std::uint64_t seed = 0; seed < kCheckSamples; ++seed) {
    const auto inputs = RandomInputs(first, seed);
    if (seed == 0) FirstRun(first, Borrowed(inputs));
    for (const OutputDifference& difference : CompareOutputs(
             first.Run(inputs), second.Run(inputs), OutputNames(first), OutputNames(second))) {
      worst = std::max(worst, difference.Relative());
    }
  }
  return worst;
}

// The table cuts long cells at their beginning, so the count comes last.
std::string JoinedNames(const std::vector<std::string>& names) {
  if (names.empty()) return "-";
  if (names.size() == 1) return names[0];
  return fmt::format("{} and {} more", names[0], names.size() - 1);
}

}  // namespace

PermuteEffort ParseEffort(const std::string& effort) {
  if (effort == "fast") return PermuteEffort::kFast;
  if (effort == "best") return PermuteEffort::kBest;
  return PermuteEffort::kDefault;
}

NmGroup NmOf(const Pattern& pattern) {
  if (const auto nm = pattern.Nm()) return *nm;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("the order of channels makes no difference to the pattern '{}' that this "
                          "search could use; give an N:M pattern, as 2:4",
                          pattern.Name()));
}

double CheckSameFunction(const Graph& before, const Graph& after,
                         const std::vector<std::string>& shapes, const CommonOptions& common) {
  double worst = 0;
  try {
    worst = GreatestDifference(before, after, shapes, common);
  } catch (Error& error) {
    error.AddContext(
        "checking that the permuted model computes the same; permute --no-check leaves that out");
    throw;
  }
  if (worst <= kRoundingTolerance) return worst;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("an output of the permuted model differs by {:.2g} of its largest value, "
                          "more than rounding ({:g}); nothing was written. --only and --skip name "
                          "the layers to search for",
                          worst, kRoundingTolerance));
}

std::string PermuteText(const PermuteReport& report, const std::string& pattern) {
  Table groups({{"channels read by"},
                {"number", Table::Align::kRight},
                {"kept", Table::Align::kRight},
                {"now", Table::Align::kRight},
                {"note"}});
  std::size_t applied = 0;
  for (const PermutedGroup& group : report.groups) {
    applied += group.applied ? 1 : 0;
    groups.AddRow({JoinedNames(group.layers), fmt::to_string(group.channels),
                   group.layers.empty() ? "" : PercentText(group.kept_before),
                   group.applied ? PercentText(group.kept_after) : "", group.reason});
  }
  std::string text = groups.empty() ? "" : groups.Text() + '\n';
  return text + fmt::format("{} of {} groups of channels reordered for {}, {} tensors\n", applied,
                            report.groups.size(), pattern, report.tensors);
}

}  // namespace espalier::cli
