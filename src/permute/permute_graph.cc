#include "espalier/permute/permute_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string_view>

#include "espalier/base/error.h"
#include "espalier/base/parallel.h"
#include "espalier/graph/coupling.h"
#include "espalier/graph/layers.h"
#include "espalier/permute/tensor_order.h"
#include "permute/consumer.h"
#include "permute/group_orders.h"
#include "permute/group_search.h"
#include "permute/permutation_note.h"

namespace espalier {
namespace {

using internal::Consumer;
using internal::GroupOrder;
using internal::OrdersOf;

// A gain below this share of the magnitude is rounding.
constexpr double kLeastGain = 1e-9;
// Graph::ir_version from which a constant with an input's name is only a default.
constexpr std::int64_t kDefaultsSince = 4;

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
    result.layers = LayersOf(group, &result.reason);
    if (result.layers.empty() || group.cells.empty()) {
      if (result.reason.empty()) result.reason = "no two channels may change places";
      return result;
    }
    if (std::string immovable = WhyImmovable(group); !immovable.empty()) {
      result.reason = std::move(immovable);
      return result;
    }
    PermuteOptions search = options_.search;
    search.threads = 1;
    const GroupOrder found = SearchGroup(group, ConsumersOf(group), options_.nm, search);
    const double total = found.total > 0 ? found.total : 1;
    result.kept_before = result.kept_after = found.kept_before / total;
    if (found.kept_after - found.kept_before <= kLeastGain * total) {
      if (result.reason.empty()) result.reason = NoGainReason(found);
      return result;
    }
    result.kept_after = found.kept_after / total;
    result.applied = true;
    if (!result.reason.empty()) result.reason = "some stay: " + result.reason;
    *orders = OrdersOf(graph_, group, found.takes);
    return result;
  }

 private:
  std::string NoGainReason(const GroupOrder& found) const {
    if (found.rounds > 0) return "nothing to gain";
    return fmt::format("fewer than two groups of {} channels that may change places",
                       options_.nm.m);
  }

  std::string WhyImmovable(const CouplingGroup& group) const {
    for (const CoupledTensor& tensor : group.tensors) {
      const Constant& constant = graph_.constants[static_cast<std::size_t>(tensor.constant)];
      if (!internal::CanBeNoted(constant.name)) return "a constant's name is not UTF-8 text";
      if (DTypeBits(constant.tensor.dtype()) % 8 == 0 && !constant.tensor.bytes().empty()) continue;
      return fmt::format("'{}': elements of type {} cannot be moved one by one", constant.name,
                         DTypeName(constant.tensor.dtype()));
    }
    return "";
  }

  // Those that count. Without any, `reason` receives why the last one does not.
  std::vector<std::string> LayersOf(const CouplingGroup& group, std::string* reason) const {
    std::vector<std::string> names;
    std::string left = "no layer that can be pruned reads them";
    for (const CoupledTensor& tensor : group.tensors) {
      const auto place = by_constant_.find(tensor.constant);
      if (!tensor.reduced || place == by_constant_.end()) continue;
      const Layer& layer = layers_[place->second];
      const std::string& refusal = refusals_[place->second];
      if (refusal.empty()) names.push_back(layer.name);
      if (!refusal.empty()) left = fmt::format("'{}': {}", layer.name, refusal);
    }
    if (names.empty() && reason->empty()) *reason = left;
    return names;
  }

  std::vector<Consumer> ConsumersOf(const CouplingGroup& group) const {
    std::vector<Consumer> consumers;
    for (const CoupledTensor& tensor : group.tensors) {
      const auto place = by_constant_.find(tensor.constant);
      if (!tensor.reduced || place == by_constant_.end()) continue;
      if (!refusals_[place->second].empty()) continue;
      const Layer& layer = layers_[place->second];
      consumers.emplace_back(graph_, layer, tensor, options_.nm, FactorOf(layer));
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

// Heads, and queries with keys, have no layer of their own.
bool HasNoLayer(const CouplingGroup& group) {
  return group.channels > 0 && std::ranges::none_of(group.tensors, &CoupledTensor::reduced);
}

// Empty if no caller can tell.
std::string WarningOfDefaults(const Graph& graph, const std::vector<TensorOrder>& orders) {
  if (graph.ir_version < kDefaultsSince) return "";
  std::set<std::string_view> inputs;
  for (const ValueInfo& input : graph.scopes[0].inputs) inputs.insert(input.name);
  std::set<std::string_view> moved;
  for (const TensorOrder& order : orders) {
    if (inputs.contains(order.constant)) moved.insert(order.constant);
  }
  if (moved.empty()) return "";
  return fmt::format(
      "{} of the reordered tensors are inputs of the network with a default, as '{}': whoever "
      "feeds them instead has to feed them in the new order",
      moved.size(), *moved.begin());
}

}  // namespace

PermuteReport PermuteGraph(Graph& graph, const PermuteGraphOptions& options) {
  if (options.nm.n < 1 || options.nm.n >= options.nm.m) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{}:{} is no N:M pattern", options.nm.n, options.nm.m));
  }
  internal::CheckPermutationNote(graph);
  const Permuter permuter(graph, options);
  std::vector<CouplingGroup> groups = FindCoupledChannels(graph);
  std::erase_if(groups, &HasNoLayer);
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
  std::string warning = WarningOfDefaults(graph, all);
  if (!warning.empty()) report.warnings.push_back(std::move(warning));
  return report;
}

}  // namespace espalier
