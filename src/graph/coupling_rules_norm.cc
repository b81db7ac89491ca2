#include <algorithm>

#include "graph/coupling_rules.h"

namespace espalier::coupling {
namespace {

std::vector<bool> From(std::size_t first, std::size_t rank) {
  std::vector<bool> over(rank);
  std::fill(over.begin() + static_cast<std::ptrdiff_t>(first), over.end(), true);
  return over;
}

std::optional<std::size_t> AxisOf(const NodeTies& ties, std::int64_t fallback) {
  const Dims* in = ties.In(0);
  const auto given = ties.view().Int("axis", fallback);
  return in != nullptr && given ? shapes::AxisIndex(*given, in->size()) : std::nullopt;
}

// x, then vectors with one entry a channel; running statistics come out in training.
void BatchNormalization(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr || in->size() < 2 || ties.view().Int("spatial", 1) != 1) return;
  Product product{{{0, Counted(in->size()), true}}, Counted(in->size()), 0, false};
  for (std::size_t i = 1; i < 5; ++i) product.inputs.push_back({i, {1}});
  ties.Join(product);
  for (std::size_t o = 1; o < ties.view().OutputCount(); ++o) {
    if (ties.HasOutput(o)) ties.Join({{{3, {1}}, {4, {1}}}, {1}, o, false});
  }
}

void InstanceNormalization(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr || in->size() < 3) return;
  ties.Join({{{0, Counted(in->size()), true}, {1, {1}}, {2, {1}}}, Counted(in->size()), 0, false});
  JoinOver(ties, From(2, in->size()));
}

// Opset 18 scales each group, later ones each channel.
void GroupNormalization(NodeTies& ties) {
  const Dims* in = ties.In(0);
  const Dims* out = ties.Out(0);
  const auto groups = ties.view().Int("num_groups", 0);
  if (in == nullptr || out == nullptr || in->size() < 3 || *in != *out) return;
  if (!groups || *groups < 1 || (*in)[1] < 1 || (*in)[1] % *groups != 0) return;
  std::vector<bool> apart(in->size());
  apart[1] = true;
  JoinOtherAxes(ties, apart);
  Labels others = Counted(in->size());
  others[1] = kApart;
  ties.Join({{{0, others}}, {0}, std::nullopt, false});
  const int channels = ties.Make(0, {1});
  ties.TieAll(ties.Take(0, 1), channels);
  if (channels == kNoFacet) return;
  const int owner = ties.MakeOwner(static_cast<std::size_t>(*groups));
  std::vector<std::uint32_t> owner_of;
  for (std::int64_t c = 0; c < (*in)[1]; ++c) {
    owner_of.push_back(static_cast<std::uint32_t>(c / ((*in)[1] / *groups)));
  }
  if (*groups > 1 && *groups != (*in)[1]) ties.Own(owner, channels, std::move(owner_of));
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
    const Dims* dims = ties.In(i);
    if (dims == nullptr || dims->size() != 1) return ties.Spoil();
    if (dims->front() == *groups && *groups == 1) continue;
    if (dims->front() != *groups && dims->front() != (*in)[1]) return ties.Spoil();
    ties.TieAll(ties.Take(i, 0), dims->front() == (*in)[1] ? channels : owner);
  }
}

// Normalizes over `first` and all axes behind it; `scales` have (some of) those axes.
void NormalizeLast(NodeTies& ties, std::size_t first, const std::vector<std::size_t>& inputs,
                   const std::vector<std::size_t>& statistics) {
  const Dims* in = ties.In(0);
  JoinBroadcast(ties, inputs);
  JoinOver(ties, From(first, in->size()));
  for (const std::size_t o : statistics) {
    if (!ties.HasOutput(o)) continue;
    Labels kept = Counted(in->size());
    std::fill(kept.begin() + static_cast<std::ptrdiff_t>(first), kept.end(), kApart);
    ties.Join({{{0, Counted(in->size())}}, kept, o, false});
  }
}

void LayerNormalization(NodeTies& ties) {
  if (const auto axis = AxisOf(ties, -1)) NormalizeLast(ties, *axis, {0, 1, 2}, {1, 2});
}

// Inputs: x, skip, gamma, beta, bias. Output 3 is x + skip + bias.
void SkipLayerNormalization(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr || in->empty()) return;
  NormalizeLast(ties, in->size() - 1, {0, 1, 2, 3, 4}, {1, 2});
  if (ties.HasOutput(3)) JoinBroadcast(ties, {0, 1, 4}, 3);
}

// Inputs: x, skip, gamma, bias.
void SkipSimplifiedLayerNormalization(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr || in->empty()) return;
  NormalizeLast(ties, in->size() - 1, {0, 1, 2, 3}, {1, 2});
  if (ties.HasOutput(3)) JoinBroadcast(ties, {0, 1, 3}, 3);
}

// Before opset 13 all axes from the given one on are normalized together.
void Softmax(NodeTies& ties) {
  const bool flattens = ties.opset() < 13;
  const auto axis = AxisOf(ties, flattens ? 1 : -1);
  if (!axis) return;
  JoinBroadcast(ties, {0});
  std::vector<bool> over = From(*axis, ties.In(0)->size());
  if (!flattens) {
    std::fill(over.begin(), over.end(), false);
    over[*axis] = true;
  }
  JoinOver(ties, over);
}

void LpNormalization(NodeTies& ties) {
  const auto axis = AxisOf(ties, -1);
  if (!axis) return;
  JoinBroadcast(ties, {0});
  std::vector<bool> over(ties.In(0)->size());
  over[*axis] = true;
  JoinOver(ties, over);
}

void MeanVarianceNormalization(NodeTies& ties) {
  const Dims* in = ties.In(0);
  const auto axes = ties.view().IntList("axes", {0, 2, 3});
  const auto over = in != nullptr && axes ? shapes::AxisSet(*axes, in->size()) : std::nullopt;
  if (!over) return;
  JoinBroadcast(ties, {0});
  JoinOver(ties, *over);
}

void Lrn(NodeTies& ties) {
  const Dims* in = ties.In(0);
  ties.Because("mixes them with their neighbours");
  if (in == nullptr || in->size() < 2) return;
  std::vector<bool> apart(in->size());
  apart[1] = true;
  JoinOtherAxes(ties, apart);
}

// Takes the first of several equal maxima.
void Hardmax(NodeTies& ties) {
  const bool flattens = ties.opset() < 13;
  const auto axis = AxisOf(ties, flattens ? 1 : -1);
  if (!axis) return;
  std::vector<bool> apart = From(*axis, ties.In(0)->size());
  if (!flattens)
    std::fill(apart.begin() + static_cast<std::ptrdiff_t>(*axis) + 1, apart.end(), false);
  JoinOtherAxes(ties, apart);
}

constexpr RuleEntry kRules[] = {
    {"", "BatchNormalization", &BatchNormalization},
    {"", "GroupNormalization", &GroupNormalization},
    {"", "Hardmax", &Hardmax},
    {"", "InstanceNormalization", &InstanceNormalization},
    {"", "LRN", &Lrn},
    {"", "LayerNormalization", &LayerNormalization},
    {"", "LogSoftmax", &Softmax},
    {"", "LpNormalization", &LpNormalization},
    {"", "MeanVarianceNormalization", &MeanVarianceNormalization},
    {"", "RMSNormalization", &LayerNormalization},
    {"", "SimplifiedLayerNormalization", &LayerNormalization},
    {"", "Softmax", &Softmax},
    {"com.microsoft", "SimplifiedLayerNormalization", &LayerNormalization},
    {"com.microsoft", "SkipLayerNormalization", &SkipLayerNormalization},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", &SkipSimplifiedLayerNormalization},
};

}  // namespace

std::span<const RuleEntry> NormRules() { return kRules; }

}  // namespace espalier::coupling
