#include "espalier/permute/permute_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "espalier/base/error.h"
#include "espalier/base/parallel.h"
#include "espalier/graph/coupling.h"
#include "espalier/graph/layers.h"
#include "espalier/permute/tensor_order.h"
#include "permute/consumer.h"
#include "permute/group_orders.h"
#include "permute/group_search.h"

namespace espalier {
namespace {

using internal::Consumer;
using internal::GroupOrder;
using internal::OrdersOf;

// A gain below this share of the magnitude is rounding.
constexpr double kLeastGain = 1e-9;

class Permuter {
 public:
  Permuter(const Graph& graph, const PermuteGraphOptions& options)
      : graph_(graph),
        options_(options),
        layers_(FindLayers(graph)),
        refusals_(SelectLayers(layers_, options.selection, nullptr)) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      by_constant_.emplace(layers_[i].constant, i);
      if (refusals_[i].empty() && options.misfit) refusals_[i] = options.misfit(layers_[i]);
    }
  }

  // Searches one group; `orders` receives what to reorder, if anything is gained.
  PermutedGroup Permute(const CouplingGroup& group, std::vector<TensorOrder>* orders) const {
    PermutedGroup result;
    result.channels = group.channels;
    result.reason = group.refusal;
    const std::vector<Consumer> consumers = ConsumersOf(group, &result);
    if (consumers.empty()) return result;
    PermuteOptions search = options_.search;
    search.threads = 1;
    const GroupOrder found = SearchGroup(group, consumers, options_.nm, search);
    if (found.total > 0) {
      result.kept_before = found.kept_before / found.total;
      result.kept_after = found.kept_after / found.total;
    }
    if (found.kept_after - found.kept_before <= kLeastGain * found.total) {
      result.kept_after = result.kept_before;
      if (result.reason.empty()) result.reason = NoGainReason(group, found);
      return result;
    }
    *orders = OrdersOf(graph_, group, found.takes);
    result.applied = true;
    return result;
  }

 private:
  std::string NoGainReason(const CouplingGroup& group, const GroupOrder& found) const {
    if (group.cells.empty()) return "no two channels may change places";
    if (found.rounds == 0) {
      return fmt::format("fewer than two groups of {} channels that may change places",
                         options_.nm.m);
    }
    return "nothing to gain";
  }

  std::vector<Consumer> ConsumersOf(const CouplingGroup& group, PermutedGroup* result) const {
    std::vector<Consumer> consumers;
    std::string left;
    for (const CoupledTensor& tensor : group.tensors) {
      if (!tensor.reduced) continue;
      const auto place = by_constant_.find(tensor.constant);
      if (place == by_constant_.end()) continue;
      const Layer& layer = layers_[place->second];
      const std::string& refusal = refusals_[place->second];
      if (!refusal.empty()) {
        left = fmt::format("'{}': {}", layer.name, refusal);
        continue;
      }
      result->layers.push_back(layer.name);
      consumers.emplace_back(graph_, layer, tensor, options_.nm, FactorOf(layer));
    }
    if (result->layers.empty() && result->reason.empty()) {
      result->reason = left.empty() ? "no layer that can be pruned reads them" : left;
    }
    return consumers;
  }

  double FactorOf(const Layer& layer) const {
    if (options_.weighting == LayerWeighting::kMagnitude || !layer.macs) return 1;
    return static_cast<double>(*layer.macs) /
           static_cast<double>(std::max<std::int64_t>(1, layer.view.Elements()));
  }

  const Graph& graph_;
  const PermuteGraphOptions& options_;
  std::vector<Layer> layers_;
  std::vector<std::string> refusals_;
  std::map<int, std::size_t> by_constant_;
};

bool HasReducedTensor(const CouplingGroup& group) {
  return std::ranges::any_of(group.tensors,
                             [](const CoupledTensor& tensor) { return tensor.reduced; });
}

}  // namespace

PermuteReport PermuteGraph(Graph& graph, const PermuteGraphOptions& options) {
  if (options.nm.n < 1 || options.nm.n >= options.nm.m) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{}:{} is no N:M pattern", options.nm.n, options.nm.m));
  }
  const Permuter permuter(graph, options);
  std::vector<CouplingGroup> groups = FindCoupledChannels(graph);
  std::erase_if(groups, [](const CouplingGroup& group) { return !HasReducedTensor(group); });
  PermuteReport report;
  report.groups.resize(groups.size());
  std::vector<std::vector<TensorOrder>> orders(groups.size());
  std::mutex mutex;
  std::uint64_t done = 0;
  ParallelFor(options.search.threads, groups.size(), [&](std::size_t i) {
    report.groups[i] = permuter.Permute(groups[i], &orders[i]);
    const std::lock_guard lock(mutex);
    ++done;
    if (options.progress) options.progress(done, groups.size());
  });
  std::vector<TensorOrder> all;
  for (std::vector<TensorOrder>& of_group : orders) {
    std::ranges::move(of_group, std::back_inserter(all));
  }
  if (all.empty()) return report;
  Graph changed = graph;  // tensors are shared until they are written
  ApplyOrders(changed, all);
  NoteOrders(changed, all);
  graph = std::move(changed);
  report.tensors = all.size();
  return report;
}

}  // namespace espalier
