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

void CheckUnits(const WeightStore& store, std::size_t index, const Pattern& pattern,
                const VerifyOptions& options, LayerVerifyReport* entry) {
  const Layer& layer = store.layers()[index];
  const auto units = static_cast<std::uint64_t>(pattern.UnitCount(PackedShapeOf(layer.view)));
  const std::uint64_t zero = CountZeroUnits(store, index, pattern);
  const std::uint64_t wanted =
      options.sparsity
          ? static_cast<std::uint64_t>(std::llround(*options.sparsity * static_cast<double>(units)))
          : 1;
  entry->holds = zero >= wanted;
  if (!entry->holds) {
    entry->reason = fmt::format("{} of {} units are zero, {} are needed", zero, units, wanted);
  }
}

void CheckOptions(const Pattern& pattern, const VerifyOptions& options) {
  if (!options.sparsity) return;
  if (pattern.kind() == Pattern::Kind::kPerGroup) {
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("pattern {} has its ratio built in: it takes no sparsity", pattern.Name()));
  }
  if (!(*options.sparsity >= 0.0 && *options.sparsity < 1.0)) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("sparsity {} is not in 0 <= S < 1", *options.sparsity));
  }
}

}  // namespace

VerifyReport Verify(const WeightStore& store, const Pattern& pattern,
                    const VerifyOptions& options) {
  CheckOptions(pattern, options);
  VerifyReport report;
  report.pattern = pattern.Name();
  const std::vector<Layer>& layers = store.layers();
  std::vector<std::string> unmatched;
  const auto reasons = SelectLayers(layers, options.selection, &unmatched);
  for (const std::string& term : unmatched) {
    report.warnings.push_back(fmt::format("the selection '{}' matches no layer", term));
  }
  report.layers.resize(layers.size());
  ParallelFor(options.threads, layers.size(), [&](std::size_t i) {
    LayerVerifyReport& entry = report.layers[i];
    entry.name = layers[i].name;
    entry.shape = layers[i].shape;
    entry.reason = reasons[i].empty() ? MisalignmentOf(layers[i], options.alignment) : reasons[i];
    entry.tensorrt = TensorRtVerdictOn(store, i);
    entry.selected = entry.reason.empty();
    if (!entry.selected) return;
    if (pattern.kind() == Pattern::Kind::kPerGroup) {
      CheckGroups(store, i, pattern, &entry);
    } else {
      CheckUnits(store, i, pattern, options, &entry);
    }
  });
  const bool any = std::ranges::any_of(report.layers, &LayerVerifyReport::selected);
  if (!any) report.warnings.push_back("no layer was checked; see the reasons");
  report.holds = any && std::ranges::all_of(report.layers, &LayerVerifyReport::holds);
  return report;
}

}  // namespace espalier
