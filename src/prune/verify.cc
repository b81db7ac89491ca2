#include "espalier/prune/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "espalier/base/error.h"
#include "espalier/base/parallel.h"
#include "prune/scan.h"

namespace espalier {
namespace {

WeightPlace PlaceOf(const Violation& violation, const WeightView& view) {
  std::vector<std::int64_t> coordinates(view.positions.size());
  std::int64_t rest = violation.position;
  for (std::size_t i = coordinates.size(); i-- > 0;) {
    coordinates[i] = rest % view.positions[i].size;
    rest /= view.positions[i].size;
  }
  WeightPlace place;
  place.k = violation.row;
  place.c = violation.channel;
  place.nonzeros = violation.nonzeros;
  if (coordinates.size() == 3) {
    place.d = coordinates.front();
    coordinates.erase(coordinates.begin());
  }
  if (!coordinates.empty()) place.r = coordinates[0];
  if (coordinates.size() > 1) place.s = coordinates[1];
  return place;
}

void CheckGroups(const WeightStore& store, std::size_t index, const Pattern& pattern,
                 LayerVerifyReport* entry) {
  const Layer& layer = store.layers()[index];
  const auto violation = FindViolationIn(store, index, layer, pattern);
  if (!violation) return;
  entry->holds = false;
  const WeightPlace place = PlaceOf(*violation, layer.view);
  entry->first_violation = place;
  entry->reason =
      fmt::format("{} nonzeros in the group at k={} c={}{} r={} s={}", place.nonzeros, place.k,
                  place.c, place.d ? fmt::format(" d={}", *place.d) : "", place.r, place.s);
}

struct UnitCounts {
  std::uint64_t units = 0;
  std::uint64_t zero = 0;
};

UnitCounts CountUnits(const WeightStore& store, std::size_t index, const Pattern& pattern) {
  const PackedShape shape = PackedShapeOf(store.layers()[index].view);
  return {static_cast<std::uint64_t>(pattern.UnitCount(shape)),
          CountZeroUnits(store, index, pattern)};
}

// What is missing, in words; empty if nothing is.
std::string ShortOf(const UnitCounts& counts, std::optional<double> sparsity) {
  const auto wanted =
      sparsity
          ? static_cast<std::uint64_t>(std::llround(*sparsity * static_cast<double>(counts.units)))
          : 1;
  if (counts.zero >= wanted) return "";
  return fmt::format("{} of {} units are zero, {} are needed", counts.zero, counts.units, wanted);
}

std::optional<double> ShareOf(const Layer& layer, const VerifyOptions& options) {
  const auto ratio = options.ratios.find(layer.name);
  return ratio != options.ratios.end() ? std::optional(ratio->second) : options.sparsity;
}

// Global scope: the layers together have to be sparse enough.
void CheckTogether(const std::vector<UnitCounts>& counts, const VerifyOptions& options,
                   VerifyReport* report) {
  UnitCounts all;
  for (const UnitCounts& layer : counts) {
    all.units += layer.units;
    all.zero += layer.zero;
  }
  const std::string missing = ShortOf(all, options.sparsity);
  if (missing.empty()) return;
  report->holds = false;
  report->reason = fmt::format("over all checked layers, {}", missing);
}

void CheckOptions(const std::vector<Layer>& layers, const Pattern& pattern,
                  const VerifyOptions& options) {
  for (const auto& [name, ratio] : options.ratios) {
    if (std::ranges::find(layers, name, &Layer::name) == layers.end()) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("ratios name the layer '{}', which the model does not have", name));
    }
  }
  if (!options.sparsity && options.ratios.empty() && options.scope == RankScope::kLayer) return;
  if (pattern.kind() == Pattern::Kind::kPerGroup) {
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("pattern {} has its ratio built in: it takes no sparsity, ratios or scope",
                    pattern.Name()));
  }
  if (options.sparsity && !(*options.sparsity >= 0.0 && *options.sparsity < 1.0)) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("sparsity {} is not in 0 <= S < 1", *options.sparsity));
  }
}

}  // namespace

VerifyReport Verify(const WeightStore& store, const Pattern& pattern,
                    const VerifyOptions& options) {
  CheckOptions(store.layers(), pattern, options);
  VerifyReport report;
  report.pattern = pattern.Name();
  const std::vector<Layer>& layers = store.layers();
  std::vector<std::string> unmatched;
  const auto reasons = SelectLayers(layers, options.selection, &unmatched);
  for (const std::string& term : unmatched) {
    report.warnings.push_back(fmt::format("the selection '{}' matches no layer", term));
  }
  report.layers.resize(layers.size());
  std::vector<UnitCounts> counts(layers.size());
  ParallelFor(options.threads, layers.size(), [&](std::size_t i) {
    LayerVerifyReport& entry = report.layers[i];
    entry.name = layers[i].name;
    entry.shape = layers[i].shape;
    entry.reason =
        reasons[i].empty() ? MisfitOf(layers[i], pattern, options.alignment) : reasons[i];
    entry.selected = entry.reason.empty();
    entry.tensorrt = TensorRtVerdictOn(store, i, entry.selected);
    if (!entry.selected) return;
    if (pattern.kind() == Pattern::Kind::kPerGroup) {
      CheckGroups(store, i, pattern, &entry);
      return;
    }
    counts[i] = CountUnits(store, i, pattern);
    if (options.scope != RankScope::kLayer) return;
    entry.reason = ShortOf(counts[i], ShareOf(layers[i], options));
    entry.holds = entry.reason.empty();
  });
  const bool any = std::ranges::any_of(report.layers, &LayerVerifyReport::selected);
  if (!any) report.warnings.push_back("no layer was checked; see the reasons");
  report.holds = any && std::ranges::all_of(report.layers, &LayerVerifyReport::holds);
  if (options.scope != RankScope::kLayer) CheckTogether(counts, options, &report);
  return report;
}

}  // namespace espalier
