#include "cli/json.h"

namespace espalier::cli {
namespace {

template <class T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json LimitName(Limit limit) {
  switch (limit) {
    case Limit::kMaxLayerSparsity:
      return "max-layer-sparsity";
    case Limit::kFloor:
      return "min-weights-per-channel";
    case Limit::kNone:
      break;
  }
  return nullptr;
}

Json PlaceJson(const WeightPlace& place) {
  Json json = {{"k", place.k}, {"c", place.c}};
  if (place.d) json["d"] = *place.d;
  json["r"] = place.r;
  json["s"] = place.s;
  json["nonzeros"] = place.nonzeros;
  return json;
}

}  // namespace

Json ToJson(const Inspection& inspection, const std::string& model) {
  Json layers = Json::array();
  for (const LayerInspection& layer : inspection.layers) {
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"shape", layer.shape},
                      {"dtype", DTypeName(layer.dtype)},
                      {"parameters", layer.parameters},
                      {"macs", OrNull(layer.macs)},
                      {"sparsity", layer.Sparsity()},
                      {"patterns", layer.patterns},
                      {"reason", OrNull(layer.note)}});
  }
  return {{"model", model},
          {"parameters", inspection.parameters},
          {"macs", OrNull(inspection.macs)},
          {"macs_complete", inspection.macs_complete},
          {"sparsity", inspection.sparsity},
          {"layers", std::move(layers)}};
}

Json ToJson(const VerifyReport& report, const std::string& model) {
  Json layers = Json::array();
  for (const LayerVerifyReport& layer : report.layers) {
    layers.push_back(
        {{"name", layer.name},
         {"shape", layer.shape},
         {"selected", layer.selected},
         {"holds", layer.selected ? Json(layer.holds) : Json(nullptr)},
         {"reason", OrNull(layer.reason)},
         {"first_violation",
          layer.first_violation ? PlaceJson(*layer.first_violation) : Json(nullptr)},
         {"tensorrt",
          {{"eligible", layer.tensorrt.eligible}, {"reason", OrNull(layer.tensorrt.reason)}}}});
  }
  return {{"model", model},
          {"pattern", report.pattern},
          {"holds", report.holds},
          {"reason", OrNull(report.reason)},
          {"layers", std::move(layers)},
          {"warnings", report.warnings}};
}

Json ToJson(const PruneReport& report, const PruneCommandOptions& options) {
  Json layers = Json::array();
  for (const LayerPruneReport& layer : report.layers) {
    const auto if_pruned = [&layer](auto value) {
      return layer.pruned ? Json(value) : Json(nullptr);
    };
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"shape", layer.shape},
                      {"pruned", layer.pruned},
                      {"dropped", if_pruned(layer.dropped)},
                      {"sparsity", if_pruned(layer.Sparsity())},
                      {"kept_magnitude", if_pruned(layer.KeptMagnitude())},
                      {"limit", LimitName(layer.limit)},
                      {"reason", OrNull(layer.reason)}});
  }
  return {{"model", options.model},
          {"output", options.output},
          {"pattern", report.pattern},
          {"criterion", report.criterion},
          {"scope", options.scope},
          {"sparsity", report.Sparsity()},
          {"kept_magnitude", report.KeptMagnitude()},
          {"layers", std::move(layers)},
          {"warnings", report.warnings}};
}

Json ToJson(const PermuteReport& report) {
  Json groups = Json::array();
  for (const PermutedGroup& group : report.groups) {
    groups.push_back({{"layers", group.layers},
                      {"channels", group.channels},
                      {"kept_before", OrNull(group.kept_before)},
                      {"kept_after", OrNull(group.kept_after)},
                      {"applied", group.applied},
                      {"reason", OrNull(group.reason)}});
  }
  return groups;
}

void PrintJson(const Json& json, const Streams& streams) {
  streams.out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace espalier::cli
