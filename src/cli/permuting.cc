#include "cli/permuting.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <string_view>

#include "cli/progress_bar.h"
#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/error.h"
#include "espalier/runtime/cut.h"
#include "espalier/runtime/session.h"

namespace espalier::cli {
namespace {

constexpr std::uint64_t kCheckSamples = 2;
// How far outputs may be apart, in parts of the largest value: float32 sums in another order. With
// operators that make steps: root of the mean square, in parts of the output's.
constexpr double kRoundingTolerance = 1e-4;
constexpr double kStepsTolerance = 1e-2;

// A network of which everything runs: what the runtime lacks is cut out.
CutGraph Cut(Graph graph, const std::vector<std::string>& shapes) {
  FixShapes(graph, shapes);
  return CutAtMissing(graph);
}

Session Prepared(CutGraph cut, const CommonOptions& common) {
  SessionOptions options;
  options.threads = common.threads;
  options.tune = false;
  return Session(std::move(cut.graph), options);
}

// What the outputs of both networks have apart, over all samples.
class Apart {
 public:
  void Add(const Tensor& before, const Tensor& after) {
    const std::vector<double> a = before.AsDoubles();
    const std::vector<double> b = after.AsDoubles();
    if (a.size() != b.size()) throw Error(ErrorCode::kInternal, "outputs of two sizes");
    double largest = 0, difference = 0, squares = 0, squares_apart = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) {
        finite_ += std::isfinite(a[i]) ? 1 : 0;
        if (std::isfinite(a[i])) largest = std::max(largest, std::abs(a[i]));
        if (std::isfinite(a[i])) squares += a[i] * a[i];
        continue;
      }
      const double here = std::abs(a[i] - b[i]);
      difference = std::isfinite(here) ? std::max(difference, here) : INFINITY;
      largest = std::isfinite(a[i]) ? std::max(largest, std::abs(a[i])) : largest;
      squares += a[i] * a[i];
      squares_apart += here * here;
      ++finite_;
    }
    if (difference == 0) return;
    greatest_ = std::max(greatest_, difference / std::max(largest, 1e-30));
    const double mean = std::sqrt(squares_apart / std::max(squares, 1e-30));
    mean_ = std::isfinite(mean) ? std::max(mean_, mean) : INFINITY;
  }
  double greatest() const { return greatest_; }
  double mean() const { return mean_; }
  bool nothing() const { return finite_ == 0; }

 private:
  double greatest_ = 0;  // of the largest value of the output
  double mean_ = 0;      // root of the mean square, of the output's
  std::size_t finite_ = 0;
};

// Constants that operators which were cut out read have to be the same.
void AddConstants(const CutGraph& before, const CutGraph& after, Apart* apart) {
  const ConstantIndex old_index(before.graph);
  const ConstantIndex index(after.graph);
  for (const std::string& name : before.read_constants) {
    const auto old_at = static_cast<std::size_t>(old_index.Find(0, name));
    const auto at = static_cast<std::size_t>(index.Find(0, name));
    const Tensor& old = before.graph.constants[old_at].tensor;
    const Tensor& now = after.graph.constants[at].tensor;
    if (!std::ranges::equal(old.bytes(), now.bytes())) apart->Add(old, now);
  }
}

// Adds to `missing` what was cut out.
Apart Compared(const Graph& before, const Graph& after, const std::vector<std::string>& shapes,
               const CommonOptions& common, std::vector<std::string>* missing) {
  CutGraph old_cut = Cut(before, shapes);
  CutGraph cut = Cut(after, shapes);
  *missing = old_cut.missing;
  Apart apart;
  AddConstants(old_cut, cut, &apart);
  Session first = Prepared(std::move(old_cut), common);
  Session second = Prepared(std::move(cut), common);
  for (std::uint64_t seed = 0; seed < kCheckSamples; ++seed) {
    const auto inputs = RandomInputs(first, seed);
    if (seed == 0) FirstRun(first, Borrowed(inputs));
    const auto old = first.Run(inputs);
    for (const auto& [name, tensor] : second.Run(inputs)) apart.Add(old.at(name), tensor);
  }
  return apart;
}

// Operators after which the last bit of a sum may become a step.
bool HasSteps(const Graph& graph) {
  static constexpr std::string_view kSteps[] = {"QuantizeLinear", "DynamicQuantizeLinear",
                                                "Round",          "Floor",
                                                "Ceil",           "Sign",
                                                "ArgMax",         "ArgMin",
                                                "TopK",           "Greater",
                                                "Less",           "Cast",
                                                "GreaterOrEqual", "LessOrEqual",
                                                "Equal",          "NonZero",
                                                "Hardmax",        "NonMaxSuppression"};
  return std::ranges::any_of(graph.scopes, [](const Scope& scope) {
    return std::ranges::any_of(scope.nodes, [](const Node& node) {
      return std::ranges::find(kSteps, node.op_type) != std::end(kSteps) ||
             node.op_type.starts_with("QLinear");
    });
  });
}

// Runs both networks on random inputs; returns the greatest difference of an output, in parts of
// its largest value. Operators that the runtime lacks are cut out and added to `missing`.
double CheckSameFunction(const Graph& before, const Graph& after,
                         const std::vector<std::string>& shapes, const CommonOptions& common,
                         std::vector<std::string>* missing) {
  Apart apart;
  try {
    apart = Compared(before, after, shapes, common, missing);
  } catch (Error& error) {
    error.AddContext(
        "checking that the permuted model computes the same; --no-check leaves that out");
    throw;
  }
  if (apart.nothing()) {
    throw Error(ErrorCode::kUnsupported,
                "the permuted model could not be checked: on random inputs all outputs are NaN or "
                "infinite; nothing was written, --no-check leaves the check out");
  }
  // One step more or less here and there is rounding, too; a wrong channel is wrong everywhere.
  if (apart.greatest() <= kRoundingTolerance) return apart.greatest();
  if (HasSteps(before) && apart.mean() <= kStepsTolerance) return apart.greatest();
  throw Error(ErrorCode::kUnsupported,
              fmt::format("an output of the permuted model differs by {:.2g} of its largest value, "
                          "more than rounding ({:g}); nothing was written, --no-check leaves the "
                          "check out",
                          apart.greatest(), kRoundingTolerance));
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
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("channels are reordered for N:M patterns, as 2:4; '{}' is none", pattern.Name()));
}

PermutedModel PermuteModel(Model& model, const Pattern& pattern, Alignment alignment,
                           PermuteGraphOptions permute, bool no_check,
                           const std::vector<std::string>& shapes, const CommonOptions& common,
                           const Streams& streams) {
  permute.nm = NmOf(pattern);
  if (model.graph() == nullptr) {
    throw Error(ErrorCode::kInvalidArgument,
                "a file of weights does not say which channels belong together; give the ONNX "
                "model");
  }
  permute.search.threads = common.threads;
  permute.misfit = [&](const Layer& layer) { return MisfitOf(layer, pattern, alignment); };
  permute.progress = MakeProgressBar(common, streams);
  const Graph before = *model.graph();
  PermutedModel result;
  const auto begin = std::chrono::steady_clock::now();
  result.report = PermuteGraph(*model.graph(), permute);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ClearProgressBar(permute.progress, streams);
  if (result.report.tensors > 0 && !no_check) {
    std::vector<std::string> missing;
    result.difference = CheckSameFunction(before, *model.graph(), shapes, common, &missing);
    if (!missing.empty()) {
      result.report.warnings.push_back(fmt::format(
          "the check ran without {}, which the runtime lacks: what goes in was compared "
          "instead, and what comes out was drawn at random",
          fmt::join(missing, ", ")));
    }
  }
  return result;
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
                   group.kept_before ? PercentText(*group.kept_before) : "",
                   group.applied ? PercentText(*group.kept_after) : "", group.reason});
  }
  std::string text = groups.empty() ? "" : groups.Text() + '\n';
  return text + fmt::format("{} of {} groups of channels reordered for {}, {} tensors\n", applied,
                            report.groups.size(), pattern, report.tensors);
}

}  // namespace espalier::cli
