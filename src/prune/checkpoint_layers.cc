#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "espalier/prune/checkpoint.h"

namespace espalier {
namespace {

bool HasAny(const std::string& name, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(
      parts, [&name](std::string_view part) { return name.find(part) != std::string::npos; });
}

// torch.nn.LSTM has weight_ih_l0, weight_hh_l0, ...; torch.nn.LSTMCell weight_ih, weight_hh.
bool IsRecurrent(const std::string& name) {
  return HasAny(name, {"weight_ih_l", "weight_hh_l"}) || name.ends_with("weight_ih") ||
         name.ends_with("weight_hh");
}

bool IsNamedLikeWeight(const std::string& name) {
  return name == "weight" || name.ends_with(".weight") || name.ends_with("_weight") ||
         IsRecurrent(name);
}

std::string RefusalOf(const SafetensorsEntry& entry) {
  if (entry.dtype == DType::kInt8 || entry.dtype == DType::kUint8) {
    return fmt::format("type {}: the zero point is not known", entry.dtype_name);
  }
  if (!IsPrunableDType(entry.dtype)) {
    return fmt::format("its type {} cannot be pruned", entry.dtype_name);
  }
  if (entry.shape.size() > 5) return "more than 5 dimensions";
  if (entry.shape.size() == 3 && HasAny(entry.name, {"experts", "moe"})) {
    return "expert tensor: which axis is the input is not known";
  }
  if (std::ranges::count(entry.shape, 0) > 0) return "it has no elements";
  return "";
}

std::string CautionOf(const SafetensorsEntry& entry) {
  if (entry.shape.size() == 2 &&
      HasAny(entry.name, {"embed", "wte.", "wpe.", "shared.weight", "emb.weight"})) {
    return "an embedding? --only name: takes it";
  }
  if (entry.shape.size() == 2 &&
      (HasAny(entry.name, {"lm_head"}) || entry.name == "output.weight")) {
    return "output head; --only name: takes it";
  }
  if (entry.shape.size() == 2 && HasAny(entry.name, {".c_attn.", ".c_fc.", ".c_proj."})) {
    return "GPT-2 stores it [input, output]; --only name: takes it as [output, input]";
  }
  if (!IsNamedLikeWeight(entry.name)) {
    return "not named like a weight; --only name: takes it";
  }
  return "";
}

}  // namespace

std::optional<Layer> LayerOfCheckpointTensor(const SafetensorsEntry& entry) {
  if (entry.shape.size() < 2) return std::nullopt;
  const std::string refusal = RefusalOf(entry);
  Layer layer;
  if (refusal.empty()) {
    layer = LayerOfTensor(entry.name, entry.dtype, entry.shape);
  } else {
    layer.name = layer.weight = entry.name;
    layer.op = "tensor";
    layer.dtype = entry.dtype;
    layer.shape = entry.shape;
    layer.refusal = refusal;
  }
  layer.caution = CautionOf(entry);
  if (IsRecurrent(entry.name) && entry.shape.size() == 2) {
    layer.kind = LayerKind::kRecurrent;
    layer.op = "recurrent";
  }
  return layer;
}

}  // namespace espalier
