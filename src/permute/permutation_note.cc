// The note in a model's metadata that lets a permutation be undone. JSON:
//   {"version": 1, "steps": [{"orders": [[2, 0, 1], ...],
//                             "tensors": [{"name": "conv1.weight", "axes": [0], "order": 0},
//                             ...]}]}
// A step is one call; its tensors share orders.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/permute/tensor_order.h"

namespace espalier {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;

[[noreturn]] void BadNote(const std::string& what) {
  throw Error(ErrorCode::kBadFile, fmt::format("the model's note '{}' {}", kPermutationNote, what));
}

Json ReadNote(const std::string& text) {
  Json note = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!note.is_object() || !note.contains("steps") || !note["steps"].is_array()) {
    BadNote("is not one of espalier's");
  }
  if (note.value("version", Json()) != Json(kVersion)) {
    BadNote("is of another version of espalier");
  }
  return note;
}

Json StepOf(std::span<const TensorOrder> orders) {
  std::map<std::vector<std::uint32_t>, std::size_t> known;
  Json lists = Json::array();
  Json tensors = Json::array();
  for (const TensorOrder& order : orders) {
    const auto [place, fresh] = known.try_emplace(order.from, known.size());
    if (fresh) lists.push_back(order.from);
    tensors.push_back({{"name", order.constant}, {"axes", order.axes}, {"order", place->second}});
  }
  return {{"orders", std::move(lists)}, {"tensors", std::move(tensors)}};
}

std::vector<std::uint32_t> Inverse(const std::vector<std::uint32_t>& from) {
  std::vector<std::uint32_t> to(from.size());
  std::vector<bool> seen(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] >= from.size() || seen[from[i]]) BadNote("has an order with a place twice");
    seen[from[i]] = true;
    to[from[i]] = static_cast<std::uint32_t>(i);
  }
  return to;
}

// A step's orders inverted, the last first.
void AppendInverse(const Json& step, std::vector<TensorOrder>& orders) {
  std::vector<std::vector<std::uint32_t>> lists;
  for (const Json& list : step.at("orders")) {
    lists.push_back(Inverse(list.get<std::vector<std::uint32_t>>()));
  }
  const Json& tensors = step.at("tensors");
  for (auto tensor = tensors.rbegin(); tensor != tensors.rend(); ++tensor) {
    orders.push_back({tensor->at("name").get<std::string>(),
                      tensor->at("axes").get<std::vector<int>>(),
                      lists.at(tensor->at("order").get<std::size_t>())});
  }
}

std::vector<TensorOrder> InverseOf(const Json& note) {
  std::vector<TensorOrder> orders;
  try {
    const Json& steps = note["steps"];
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) AppendInverse(*step, orders);
  } catch (const Json::exception&) {
    BadNote("is damaged");
  } catch (const std::out_of_range&) {
    BadNote("names an order that it does not have");
  }
  return orders;
}

}  // namespace

void NoteOrders(Graph& graph, std::span<const TensorOrder> orders) {
  const std::string key(kPermutationNote);
  const auto old = graph.metadata.find(key);
  Json note = old == graph.metadata.end() ? Json{{"version", kVersion}, {"steps", Json::array()}}
                                          : ReadNote(old->second);
  note["steps"].push_back(StepOf(orders));
  try {
    graph.metadata[key] = note.dump();
  } catch (const Json::exception&) {
    throw Error(ErrorCode::kUnsupported,
                "a constant's name is not UTF-8 text, so the permutation cannot be noted");
  }
}

std::size_t UndoPermutations(Graph& graph) {
  const auto note = graph.metadata.find(std::string(kPermutationNote));
  if (note == graph.metadata.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model has no note of a permutation by espalier; there is nothing to undo");
  }
  const std::vector<TensorOrder> orders = InverseOf(ReadNote(note->second));
  try {
    ApplyOrders(graph, orders);
  } catch (const Error& error) {
    BadNote(fmt::format("does not fit the model: {}", error.what()));
  }
  graph.metadata.erase(note);
  return orders.size();
}

}  // namespace espalier
