#include "espalier/prune/prune.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "espalier/base/error.h"
#include "espalier/base/parallel.h"
#include "prune/layer_pruner.h"

namespace espalier {
namespace {

[[noreturn]] void WrongUse(const std::string& text) {
  throw Error(ErrorCode::kInvalidArgument, text);
}

bool IsRatio(double value) { return value >= 0.0 && value < 1.0; }

bool IsRankedOverLayers(const PruneOptions& options) {
  return options.scope != RankScope::kLayer || options.threshold.has_value();
}

void CheckRatioOptions(const Pattern& pattern, const PruneOptions& options) {
  if (pattern.kind() == Pattern::Kind::kPerGroup) {
    if (options.sparsity || options.threshold || !options.ratios.empty() ||
        options.scope != RankScope::kLayer) {
      WrongUse(
          fmt::format("pattern {} has its ratio built in: it takes no sparsity, ratios, "
                      "threshold or global scope",
                      pattern.Name()));
    }
    return;
  }
  if (options.sparsity && options.threshold) WrongUse("give a sparsity or a threshold, not both");
  if (!options.sparsity && !options.threshold && options.ratios.empty()) {
    WrongUse(
        fmt::format("pattern {} needs a sparsity (0 <= S < 1), e.g. --sparsity 0.75, or a "
                    "threshold",
                    pattern.Name()));
  }
  if (options.sparsity && !IsRatio(*options.sparsity)) {
    WrongUse(fmt::format("sparsity {} is not in 0 <= S < 1", *options.sparsity));
  }
  if (options.threshold && !(*options.threshold >= 0.0 && std::isfinite(*options.threshold))) {
    WrongUse(fmt::format("threshold {} is not a finite number >= 0", *options.threshold));
  }
  if (!options.ratios.empty() && IsRankedOverLayers(options)) {
    WrongUse("ratios of single layers need the layer scope and no threshold");
  }
}

void CheckLimits(const PruneOptions& options) {
  if (!(options.max_layer_sparsity > 0.0 && options.max_layer_sparsity <= 1.0)) {
    WrongUse(fmt::format("max layer sparsity {} is not in 0 < S <= 1", options.max_layer_sparsity));
  }
  const double floor = options.min_weights_per_channel.value_or(0.0);
  if (!(floor >= 0.0 && std::isfinite(floor))) {
    WrongUse(fmt::format("{} weights for each channel is not a number >= 0", floor));
  }
}

void CheckRatioNames(const std::vector<Layer>& layers, const PruneOptions& options) {
  for (const auto& [name, ratio] : options.ratios) {
    if (std::ranges::find(layers, name, &Layer::name) == layers.end()) {
      WrongUse(fmt::format("ratios name the layer '{}', which the model does not have", name));
    }
    if (!IsRatio(ratio)) {
      WrongUse(fmt::format("ratio {} of layer '{}' is not in 0 <= S < 1", ratio, name));
    }
  }
}

// Fills in names and reasons; returns the layers to prune.
std::vector<std::size_t> ChooseLayers(const WeightStore& store, const Pattern& pattern,
                                      const PruneOptions& options, PruneReport* report) {
  const std::vector<Layer>& layers = store.layers();
  std::vector<std::string> unmatched;
  const auto reasons = SelectLayers(layers, options.selection, &unmatched);
  for (const std::string& term : unmatched) {
    report->warnings.push_back(fmt::format("the selection '{}' matches no layer", term));
  }
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    LayerPruneReport entry{layer.name, layer.op, layer.shape, false, reasons[i]};
    if (entry.reason.empty()) entry.reason = MisfitOf(layer, pattern, options.alignment);
    const bool ranked = pattern.kind() == Pattern::Kind::kRanked;
    if (entry.reason.empty() && ranked && !options.sparsity && !options.threshold &&
        !options.ratios.contains(layer.name)) {
      entry.reason = "no ratio is given for it";
    }
    if (entry.reason.empty()) {
      entry.pruned = true;
      entry.elements = static_cast<std::uint64_t>(layer.view.Elements());
      chosen.push_back(i);
    }
    report->layers.push_back(std::move(entry));
  }
  if (chosen.empty()) report->warnings.push_back("no layer was pruned; see the reasons");
  return chosen;
}

void Record(const LayerTotals& totals, LayerPruneReport* entry) {
  entry->dropped = totals.dropped;
  entry->zeros = totals.after.zeros;
  entry->magnitude_before = totals.before.sum;
  entry->magnitude_after = totals.after.sum;
  if (totals.dropped == 0 && entry->reason.empty()) {
    entry->reason = "the pattern drops nothing here";
  }
}

// Weights that the floor keeps for each output channel.
double FloorOf(const PruneOptions& options) {
  return options.min_weights_per_channel.value_or(IsRankedOverLayers(options) ? 1.0 : 0.0);
}

struct UnitLimit {
  std::uint64_t most = 0;  // units that may go
  Limit which = Limit::kNone;
};

UnitLimit LimitOf(const Layer& layer, const Pattern& pattern, std::uint64_t units,
                  const PruneOptions& options) {
  const auto unit_size = static_cast<double>(pattern.UnitSize(PackedShapeOf(layer.view)));
  const double floor_weights = FloorOf(options) * static_cast<double>(layer.view.Rows());
  const double floor_units = std::max(1.0, std::ceil(floor_weights / unit_size));
  const auto kept = std::min(units, static_cast<std::uint64_t>(std::min(floor_units, 0x1p62)));
  const auto share = static_cast<std::uint64_t>(
      std::floor(options.max_layer_sparsity * static_cast<double>(units)));
  if (share < units - kept) return {share, Limit::kMaxLayerSparsity};
  return {units - kept, Limit::kFloor};
}

std::uint64_t RoundedShare(double ratio, std::uint64_t units) {
  return static_cast<std::uint64_t>(std::llround(ratio * static_cast<double>(units)));
}

// Units to drop from each layer.
std::vector<Quota> RankUnits(const std::vector<RankedLayer>& layers,
                             const std::vector<std::size_t>& chosen, const WeightStore& store,
                             const PruneOptions& options,
                             const std::vector<std::uint64_t>& limits) {
  std::vector<KeySource> sources;
  std::uint64_t units = 0;
  for (const RankedLayer& layer : layers) {
    sources.push_back([&layer](int shift, std::uint32_t prefix, std::uint64_t* histogram) {
      layer.AddKeys(shift, prefix, histogram);
    });
    units += layer.units();
  }
  if (options.threshold) {
    // Scores are floats: a score below the threshold is one below the next float at or above it.
    const auto nearest = static_cast<float>(std::min(*options.threshold, 0x1.fffffep127));
    const float at_least =
        double{nearest} < *options.threshold ? std::nextafter(nearest, INFINITY) : nearest;
    return DropBelow(sources, limits, std::bit_cast<std::uint32_t>(at_least), options.threads);
  }
  if (options.scope != RankScope::kLayer) {
    return DivideDrops(sources, limits, RoundedShare(*options.sparsity, units), options.threads);
  }
  std::vector<Quota> quotas(layers.size());
  ParallelFor(options.threads, layers.size(), [&](std::size_t i) {
    const auto ratio = options.ratios.find(store.layers()[chosen[i]].name);
    const double share = ratio != options.ratios.end() ? ratio->second : *options.sparsity;
    const std::uint64_t all = layers[i].units();
    quotas[i] = DivideDrops({sources[i]}, {limits[i]}, RoundedShare(share, all), 1)[0];
  });
  return quotas;
}

// Limits of all layers together may leave less to drop than a global ratio asks for.
void WarnIfShort(const std::vector<RankedLayer>& layers, const std::vector<Quota>& quotas,
                 const PruneOptions& options, PruneReport* report) {
  if (options.scope == RankScope::kLayer || !options.sparsity) return;
  std::uint64_t units = 0;
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    units += layers[i].units();
    dropped += quotas[i].drop;
  }
  const std::uint64_t wanted = RoundedShare(*options.sparsity, units);
  if (dropped < wanted) {
    report->warnings.push_back(fmt::format(
        "the limits of the layers let only {} of the wanted {} units go", dropped, wanted));
  }
}

void PruneRanked(const PruneContext& context, const PruneOptions& options,
                 const std::vector<std::size_t>& chosen, PruneReport* report) {
  std::vector<RankedLayer> layers;
  for (const std::size_t index : chosen) layers.emplace_back(context, index);
  ParallelFor(context.threads, layers.size(), [&](std::size_t i) {
    layers[i].Measure(options.scope == RankScope::kGlobalNormalized);
  });
  std::vector<UnitLimit> limits;
  std::vector<std::uint64_t> most;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    limits.push_back(
        LimitOf(context.store.layers()[chosen[i]], context.pattern, layers[i].units(), options));
    most.push_back(limits.back().most);
  }
  const auto quotas = RankUnits(layers, chosen, context.store, options, most);
  WarnIfShort(layers, quotas, options, report);
  ParallelFor(context.threads, layers.size(), [&](std::size_t i) {
    LayerPruneReport& entry = report->layers[chosen[i]];
    if (quotas[i].limited) entry.limit = limits[i].which;
    Record(layers[i].Apply(quotas[i]), &entry);
  });
}

// Bytes that the passes read, for progress.
std::uint64_t WorkBytes(const WeightStore& store, const Pattern& pattern,
                        const std::vector<std::size_t>& chosen) {
  const std::uint64_t passes = pattern.kind() == Pattern::Kind::kPerGroup ? 1 : 5;
  std::uint64_t bytes = store.BytesToCopy(chosen);
  for (const std::size_t i : chosen) {
    const Layer& layer = store.layers()[i];
    bytes += passes * layer.view.Elements() * DTypeBits(layer.dtype) / 8;
  }
  return bytes;
}

void DescribeLimits(const PruneOptions& options, PruneReport* report) {
  for (LayerPruneReport& entry : report->layers) {
    if (entry.limit == Limit::kMaxLayerSparsity) {
      entry.reason = fmt::format("held at --max-layer-sparsity {:g}", options.max_layer_sparsity);
    } else if (entry.limit == Limit::kFloor) {
      entry.reason = FloorOf(options) > 0
                         ? fmt::format("held at the floor of {:g} a channel", FloorOf(options))
                         : "held at the floor of one unit";
    }
  }
}

template <class Member>
double SumOver(const PruneReport& report, Member member) {
  double sum = 0;
  for (const LayerPruneReport& layer : report.layers) {
    if (layer.pruned) sum += static_cast<double>(layer.*member);
  }
  return sum;
}

double ShareOf(double part, double whole, double if_empty) {
  return whole == 0 ? if_empty : part / whole;
}

}  // namespace

double LayerPruneReport::Sparsity() const {
  return ShareOf(static_cast<double>(zeros), static_cast<double>(elements), 0.0);
}

double LayerPruneReport::KeptMagnitude() const {
  return ShareOf(magnitude_after, magnitude_before, 1.0);
}

double PruneReport::Sparsity() const {
  return ShareOf(SumOver(*this, &LayerPruneReport::zeros),
                 SumOver(*this, &LayerPruneReport::elements), 0.0);
}

double PruneReport::KeptMagnitude() const {
  return ShareOf(SumOver(*this, &LayerPruneReport::magnitude_after),
                 SumOver(*this, &LayerPruneReport::magnitude_before), 1.0);
}

std::string MisfitOf(const Layer& layer, const Pattern& pattern, Alignment alignment) {
  if (layer.output_run % pattern.RowsPerBand() != 0) {
    return fmt::format(
        "the network reads its output channels in another order, which {} cannot span",
        pattern.Name());
  }
  if (alignment == Alignment::kNone) return "";
  const std::int64_t outputs = layer.view.Rows();
  const std::int64_t inputs = layer.view.in.size;
  if (outputs % 8 != 0) return fmt::format("K = {} is not a multiple of 8", outputs);
  if (inputs % 16 != 0) return fmt::format("C/groups = {} is not a multiple of 16", inputs);
  return "";
}

PruneReport Prune(WeightStore& store, const Pattern& pattern, const Criterion& criterion,
                  const PruneOptions& options) {
  CheckRatioOptions(pattern, options);
  CheckLimits(options);
  CheckRatioNames(store.layers(), options);
  PruneReport report;
  report.pattern = pattern.Name();
  report.criterion = criterion.Name();
  const std::vector<std::size_t> chosen = ChooseLayers(store, pattern, options, &report);

  std::mutex mutex;
  std::uint64_t done = 0;
  const std::uint64_t total = WorkBytes(store, pattern, chosen);
  PruneContext context{store, pattern, criterion, options.threads, [&](std::uint64_t bytes) {
                         const std::lock_guard lock(mutex);
                         done = std::min(done + bytes, total);
                         if (options.progress) options.progress(done, total);
                       }};
  store.BeginWrites(chosen, options.threads, context.advance);
  if (pattern.kind() == Pattern::Kind::kPerGroup) {
    const auto totals = PruneGroups(context, chosen);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      Record(totals[i], &report.layers[chosen[i]]);
    }
  } else {
    PruneRanked(context, options, chosen, &report);
  }
  DescribeLimits(options, &report);
  return report;
}

}  // namespace espalier
