#include <algorithm>
#include <numeric>

#include "graph/coupling_reshape.h"
#include "graph/coupling_rules.h"

namespace espalier::coupling {
namespace {

std::optional<std::size_t> AxisOf(const NodeTies& ties, std::int64_t fallback) {
  const Dims* in = ties.In(0);
  const auto given = ties.view().Int("axis", fallback);
  return in != nullptr && given ? shapes::AxisIndex(*given, in->size()) : std::nullopt;
}

// start, start + step, ...
Dims Range(std::int64_t start, std::int64_t step, std::int64_t count) {
  Dims range;
  for (std::int64_t i = 0; i < count; ++i) range.push_back(start + i * step);
  return range;
}

// Pairs start + i * step, first + i.
std::vector<Pair> RangePairs(std::int64_t start, std::int64_t step, std::int64_t count,
                             std::int64_t first) {
  std::vector<Pair> pairs;
  for (std::int64_t i = 0; i < count; ++i) {
    pairs.push_back(
        {static_cast<std::uint32_t>(start + i * step), static_cast<std::uint32_t>(first + i)});
  }
  return pairs;
}

void Reshape(NodeTies& ties) {
  ties.Parameter(1);
  ReshapeTies(ties).Run();
}

void Transpose(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr) return;
  Dims reversed(in->size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  const auto order = ties.view().IntList("perm", reversed);
  if (!order || order->size() != in->size() || !shapes::AxisSet(*order, in->size())) return;
  Labels kept;
  for (const std::int64_t axis : *order) {
    kept.push_back(static_cast<int>(*shapes::AxisIndex(axis, in->size())));
  }
  ties.Join({{{0, Counted(in->size()), true}}, kept, 0, false});
}

void Expand(NodeTies& ties) {
  ties.Parameter(1);
  JoinBroadcast(ties, {0});
}

void Concat(NodeTies& ties) {
  const auto axis = AxisOf(ties, 1);
  const Dims* out = ties.Out(0);
  if (!axis || out == nullptr || out->size() <= *axis) return;
  Labels labels = Counted(out->size());
  labels[*axis] = kApart;
  Product product{{}, labels, 0, false};
  std::int64_t total = 0;
  for (std::size_t i = 0; i < ties.view().InputCount(); ++i) {
    const Dims* dims = ties.In(i);
    if (dims == nullptr || dims->size() != out->size() || (*dims)[*axis] < 0) return;
    total += (*dims)[*axis];
    product.inputs.push_back({i, labels, true});
  }
  if (total != (*out)[*axis]) return;
  ties.Join(product);
  const int joined = ties.Make(0, {*axis});
  std::int64_t first = 0;
  for (std::size_t i = 0; i < ties.view().InputCount(); ++i) {
    const std::int64_t count = (*ties.In(i))[*axis];
    ties.Tie(ties.Take(i, *axis), joined, RangePairs(0, 1, count, first), true);
    first += count;
  }
}

void Split(NodeTies& ties) {
  const auto axis = AxisOf(ties, 0);
  if (!axis) return;
  const std::int64_t dim = (*ties.In(0))[*axis];
  const Dims sizes = shapes::SplitSizes(ties.view(), dim);
  std::int64_t total = 0;
  for (std::size_t o = 0; o < ties.view().OutputCount(); ++o) {
    if (o >= sizes.size() || sizes[o] < 0) return;
    const Dims* out = ties.Out(o);
    if (ties.HasOutput(o) && (out == nullptr || (*out)[*axis] != sizes[o])) return;
    total += sizes[o];
  }
  if (total != dim || total > static_cast<std::int64_t>(kMostElements)) return;
  ties.Parameter(1);
  std::vector<bool> apart(ties.In(0)->size());
  for (const std::size_t a : ties.AxesWith(0, *axis)) apart[a] = true;
  std::int64_t start = 0;
  for (std::size_t o = 0; o < sizes.size(); ++o) {
    if (ties.HasOutput(o) && sizes[o] > 0) {
      JoinOtherAxes(ties, apart, o);
      ties.Select(*axis, Range(start, 1, sizes[o]), o);
    }
    start += sizes[o];
  }
}

// Whether a range lies in an axis and gives one of known length.
bool IsInside(const shapes::SliceRange& range, std::int64_t dim, std::int64_t out_dim) {
  constexpr auto kMost = static_cast<std::int64_t>(kMostElements);
  if (range.count < 1 || range.count > kMost || range.count != out_dim) return false;
  const std::int64_t last = range.start + (range.count - 1) * range.step;
  return std::min(range.start, last) >= 0 && std::max(range.start, last) < dim;
}

// An axis that is taken whole is as before; of others, the range.
void Slice(NodeTies& ties) {
  const Dims* in = ties.In(0);
  const Dims* out = ties.Out(0);
  const auto ranges = shapes::SliceRanges(ties.view());
  if (in == nullptr || out == nullptr || !ranges || out->size() != in->size()) return;
  if (ranges->size() != in->size()) return;
  for (std::size_t i = 1; i < ties.view().InputCount(); ++i) ties.Parameter(i);
  std::vector<bool> apart(in->size());
  std::vector<std::size_t> selected;
  for (std::size_t i = 0; i < in->size(); ++i) {
    const auto& range = (*ranges)[i];
    if (range.start == 0 && range.step == 1 && range.count == (*in)[i]) continue;
    const std::vector<std::size_t> axes = ties.AxesWith(0, i);
    // Two cut axes of one facet stay in place.
    const bool again = std::ranges::any_of(axes, [&apart](std::size_t a) { return apart[a]; });
    for (const std::size_t a : axes) apart[a] = true;
    if (again) std::erase_if(selected, [&](std::size_t a) { return std::ranges::count(axes, a); });
    if (!again && IsInside(range, (*in)[i], (*out)[i])) selected.push_back(i);
  }
  JoinOtherAxes(ties, apart);
  for (const std::size_t i : selected) {
    const auto& range = (*ranges)[i];
    ties.Select(i, Range(range.start, range.step, range.count), 0);
  }
}

void Tile(NodeTies& ties) {
  const Dims* in = ties.In(0);
  const auto repeats = ties.view().KnownInts(1);
  if (in == nullptr || !repeats || repeats->size() != in->size()) return;
  ties.Parameter(1);
  std::vector<bool> apart(in->size());
  for (std::size_t i = 0; i < in->size(); ++i) apart[i] = (*repeats)[i] != 1;
  JoinOtherAxes(ties, apart);
}

// What is padded with stays in place: it has no weights.
void TiePadded(NodeTies& ties, std::size_t axis, std::int64_t before, std::int64_t after) {
  const Dims* in = ties.In(0);
  const Dims* out = ties.Out(0);
  const std::int64_t dim = (*in)[axis];
  // Windows along pixels pad too: without a facet there is nothing to tie.
  if (out == nullptr || dim < 1 || (*out)[axis] != before + dim + after) return;
  if (!ties.Moves(0, axis)) return;
  const int padded = ties.Make(0, {axis});
  ties.Tie(ties.Take(0, axis), padded, RangePairs(0, 1, dim, before), true);
  for (std::int64_t i = 0; padded != kNoFacet && i < (*out)[axis]; ++i) {
    if (i < before || i >= before + dim) ties.HoldOne({padded, 0}, static_cast<std::size_t>(i));
  }
}

void Pad(NodeTies& ties) {
  const auto& view = ties.view();
  const Dims* in = ties.In(0);
  if (in == nullptr || view.HasAttribute("paddings")) return;
  const auto pads = view.AttributeOrInput("pads", 1);
  Dims axes(in->size());
  std::iota(axes.begin(), axes.end(), 0);
  if (view.HasInput(3)) {
    const auto given = view.KnownInts(3);
    if (!given || !shapes::AxisSet(*given, in->size())) return;
    axes = *given;
  }
  if (!pads || pads->size() != 2 * axes.size()) return;
  for (std::size_t i = 1; i < view.InputCount(); ++i) ties.Parameter(i);
  std::vector<bool> apart(in->size());
  Dims before(in->size()), after(in->size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = *shapes::AxisIndex(axes[i], in->size());
    before[axis] = (*pads)[i];
    after[axis] = (*pads)[i + axes.size()];
    apart[axis] = before[axis] != 0 || after[axis] != 0;
  }
  JoinOtherAxes(ties, apart);
  if (view.Text("mode", "constant") != "constant") return;
  for (std::size_t i = 0; i < in->size(); ++i) {
    if (apart[i] && before[i] >= 0 && after[i] >= 0) TiePadded(ties, i, before[i], after[i]);
  }
}

struct BlockMove {
  std::int64_t block;
  std::int64_t channels;  // of the value with the larger image
  bool column_row_depth;
};

std::optional<BlockMove> ReadBlocks(const NodeTies& ties, const Dims* large, const Dims* deep) {
  const auto block = ties.view().Int("blocksize", 0);
  const auto mode = ties.view().Text("mode", "DCR");
  if (!block || !mode || (*mode != "DCR" && *mode != "CRD")) return std::nullopt;
  if (large == nullptr || deep == nullptr || large->size() != 4 || deep->size() != 4) {
    return std::nullopt;
  }
  if (*block < 1 || *block > 1024 || (*large)[1] < 1) return std::nullopt;
  if ((*deep)[1] > static_cast<std::int64_t>(kMostElements)) return std::nullopt;
  if ((*deep)[1] != (*large)[1] * *block * *block) return std::nullopt;
  return BlockMove{*block * *block, (*large)[1], *mode == "CRD"};
}

// For each channel of the deep value that of the large one.
std::vector<std::uint32_t> LargeOf(const BlockMove& move) {
  std::vector<std::uint32_t> large;
  for (std::int64_t i = 0; i < move.block * move.channels; ++i) {
    large.push_back(
        static_cast<std::uint32_t>(move.column_row_depth ? i / move.block : i % move.channels));
  }
  return large;
}

void DepthToSpace(NodeTies& ties) {
  const auto move = ReadBlocks(ties, ties.Out(0), ties.In(0));
  if (!move) return;
  JoinOtherAxes(ties, {false, true, true, true});
  const std::vector<std::uint32_t> large = LargeOf(*move);
  std::vector<Pair> pairs;
  for (std::uint32_t i = 0; i < large.size(); ++i) pairs.push_back({i, large[i]});
  ties.Tie(ties.Take(0, 1), ties.Make(0, {1}), std::move(pairs));
}

void SpaceToDepth(NodeTies& ties) {
  auto move = ReadBlocks(ties, ties.In(0), ties.Out(0));
  if (!move || ties.view().HasAttribute("mode")) return;
  JoinOtherAxes(ties, {false, true, true, true});
  const std::vector<std::uint32_t> large = LargeOf(*move);
  std::vector<Pair> pairs;
  for (std::uint32_t i = 0; i < large.size(); ++i) pairs.push_back({large[i], i});
  ties.Tie(ties.Take(0, 1), ties.Make(0, {1}), std::move(pairs));
}

// One scale an axis: an attribute (opset 7), input 1 (9 and 10) or 2 (11 on).
std::vector<double> ScalesOf(const NodeTies& ties) {
  const auto it = ties.view().node().attributes.find("scales");
  if (it != ties.view().node().attributes.end()) {
    const auto* list = std::get_if<std::vector<float>>(&it->second);
    return list == nullptr ? std::vector<double>()
                           : std::vector<double>(list->begin(), list->end());
  }
  return ties.view().Floats(ties.view().InputCount() == 2 ? 1 : 2).value_or(std::vector<double>());
}

// Axes that keep their size are copied.
void Resize(NodeTies& ties) {
  const auto& view = ties.view();
  const Dims* in = ties.In(0);
  const Dims* out = ties.Out(0);
  if (in == nullptr || out == nullptr || out->size() != in->size()) return;
  if (view.HasAttribute("axes")) return;
  const auto mode = view.Text("coordinate_transformation_mode", "half_pixel");
  if (!mode || *mode == "tf_crop_and_resize") return;
  if (view.Text("keep_aspect_ratio_policy", "stretch") != "stretch") return;
  const bool by_size = view.HasInput(3);
  const std::vector<double> scales = by_size ? std::vector<double>() : ScalesOf(ties);
  if (!by_size && scales.size() != in->size()) return;
  for (std::size_t i = 1; i < view.InputCount(); ++i) ties.Parameter(i);
  std::vector<bool> apart(in->size());
  for (std::size_t i = 0; i < in->size(); ++i) {
    apart[i] = (*in)[i] != (*out)[i] || (!by_size && scales[i] != 1.0);
  }
  JoinOtherAxes(ties, apart);
}

constexpr RuleEntry kRules[] = {
    {"", "Concat", &Concat},
    {"", "DepthToSpace", &DepthToSpace},
    {"", "Expand", &Expand},
    {"", "Flatten", &Reshape},
    {"", "Pad", &Pad},
    {"", "Reshape", &Reshape},
    {"", "Resize", &Resize},
    {"", "Slice", &Slice},
    {"", "SpaceToDepth", &SpaceToDepth},
    {"", "Split", &Split},
    {"", "Squeeze", &Reshape},
    {"", "Tile", &Tile},
    {"", "Transpose", &Transpose},
    {"", "Unsqueeze", &Reshape},
    {"", "Upsample", &Resize},
};

}  // namespace

std::span<const RuleEntry> LayoutRules() { return kRules; }

}  // namespace espalier::coupling
