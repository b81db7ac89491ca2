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
#include "permute/permutation_note.h"

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

template <class T>
T NumberBelow(const Json& number, std::uint64_t limit) {
  if (!number.is_number_unsigned() || number.get<std::uint64_t>() >= limit) {
    BadNote("has a number out of range");
  }
  return static_cast<T>(number.get<std::uint64_t>());
}

std::vector<std::uint32_t> InverseOf(const Json& list) {
  std::vector<std::uint32_t> to(list.size());
  std::vector<bool> seen(list.size());
  std::uint32_t i = 0;
  for (const Json& number : list) {
    const auto from = NumberBelow<std::uint32_t>(number, list.size());
    if (seen[from]) BadNote("has an order with a place twice");
    seen[from] = true;
    to[from] = i++;
  }
  return to;
}

// Takes back one step, its last tensor first; one order at a time, as a note may use one order for
// any number of tensors.
std::size_t UndoStep(const Json& step, Graph& graph) {
  std::vector<std::vector<std::uint32_t>> lists;
  for (const Json& list : step.at("orders")) lists.push_back(InverseOf(list));
  const Json& tensors = step.at("tensors");
  for (auto tensor = tensors.rbegin(); tensor != tensors.rend(); ++tensor) {
    TensorOrder order;
    order.constant = tensor->at("name").get<std::string>();
    for (const Json& axis : tensor->at("axes")) order.axes.push_back(NumberBelow<int>(axis, 64));
    order.from = lists[NumberBelow<std::size_t>(tensor->at("order"), lists.size())];
    try {
      ApplyOrders(graph, {&order, 1});
    } catch (const Error& error) {
      BadNote(fmt::format("does not fit the model: {}", error.what()));
    }
  }
  return tensors.size();
}

}  // namespace

void internal::CheckPermutationNote(const Graph& graph) {
  const auto note = graph.metadata.find(std::string(kPermutationNote));
  if (note != graph.metadata.end()) ReadNote(note->second);
}

bool internal::CanBeNoted(const std::string& name) {
  try {
    return !Json(name).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

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
  const Json read = ReadNote(note->second);
  const Json& steps = read["steps"];
  Graph undone = graph;  // tensors are shared until they are written
  std::size_t tensors = 0;
  try {
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      tensors += UndoStep(*step, undone);
    }
  } catch (const Json::exception&) {
    BadNote("is damaged");
  }
  undone.metadata.erase(note->first);
  graph = std::move(undone);
  return tensors;
}

}  // namespace espalier
