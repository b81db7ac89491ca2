#include <algorithm>

#include "graph/coupling_rules.h"

namespace espalier::coupling {
namespace {

// Only shapes or numbers are read; the output is no channel's.
void ReadsShape(NodeTies& ties) {
  ties.Ignore(0);
  ties.Constant(0);
}

void ReadsNumbers(NodeTies& ties) {
  for (std::size_t i = 0; i < ties.view().InputCount(); ++i) ties.Parameter(i);
  ties.Constant(0);
}

// The places that known indices stand for; nothing if one does not exist.
std::optional<Dims> PlacesOf(const Dims& indices, std::int64_t dim) {
  Dims places;
  for (const std::int64_t index : indices) {
    places.push_back(index < 0 ? index + dim : index);
    if (places.back() < 0 || places.back() >= dim) return std::nullopt;
  }
  return places;
}

void Gather(NodeTies& ties) {
  const Dims* data = ties.In(0);
  const Dims* indices = ties.In(1);
  const auto given = ties.view().Int("axis", 0);
  const auto axis = data && given ? shapes::AxisIndex(*given, data->size()) : std::nullopt;
  if (!axis || indices == nullptr || ties.Out(0) == nullptr) return;
  if (ties.Out(0)->size() + 1 != data->size() + indices->size()) return;
  const auto known = ties.view().KnownInts(1);
  const bool selects = known && indices->size() <= 1;
  const auto places = selects ? PlacesOf(*known, (*data)[*axis]) : std::nullopt;
  if (selects && (!places || places->empty())) return;
  constexpr int kFirstIndex = 1000;
  Labels labels = Counted(data->size());
  labels[*axis] = kApart;
  if (selects) {
    for (const std::size_t a : ties.AxesWith(0, *axis)) labels[a] = kApart;
  }
  const Labels of_indices =
      selects ? Labels(indices->size(), kApart) : Counted(indices->size(), kFirstIndex);
  Labels kept(labels.begin(), labels.begin() + static_cast<std::ptrdiff_t>(*axis));
  kept.insert(kept.end(), of_indices.begin(), of_indices.end());
  kept.insert(kept.end(), labels.begin() + static_cast<std::ptrdiff_t>(*axis) + 1, labels.end());
  Product product{{{0, labels, true}}, kept, 0, false};
  if (!selects) product.inputs.push_back({1, of_indices});
  ties.Join(product);
  ties.Parameter(1);
  if (selects) ties.Select(*axis, *places, 0, indices->empty());
}

void Reduce(NodeTies& ties) {
  const Dims* in = ties.In(0);
  if (in == nullptr) return;
  const auto reduced = shapes::ReducedAxes(ties.view(), in->size());
  const auto keep = ties.view().Int("keepdims", 1);
  if (!reduced || !keep) return;
  ties.Parameter(1);
  Labels kept;
  for (std::size_t i = 0; i < in->size(); ++i) {
    if (!(*reduced)[i]) kept.push_back(static_cast<int>(i));
    if ((*reduced)[i] && *keep != 0) kept.push_back(kApart);
  }
  ties.Join({{{0, Counted(in->size())}}, kept, 0, false});
}

// The elements along an axis are numbered, or taken in their order.
void AlongAxis(NodeTies& ties, std::size_t axis, bool keeps) {
  Labels labels = Counted(ties.In(0)->size());
  labels[axis] = kApart;
  Labels kept = labels;
  if (!keeps) kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(axis));
  for (std::size_t o = 0; o < ties.view().OutputCount(); ++o) {
    if (ties.HasOutput(o)) ties.Join({{{0, labels}}, kept, o, false});
  }
}

void ArgReduce(NodeTies& ties) {
  const Dims* in = ties.In(0);
  ties.Because("numbers them");
  const auto given = ties.view().Int("axis", 0);
  const auto keep = ties.view().Int("keepdims", 1);
  const auto axis = in && given ? shapes::AxisIndex(*given, in->size()) : std::nullopt;
  if (axis && keep) AlongAxis(ties, *axis, *keep != 0);
}

void TopK(NodeTies& ties) {
  const Dims* in = ties.In(0);
  ties.Because("numbers them");
  const auto given = ties.view().Int("axis", -1);
  const auto axis = in && given ? shapes::AxisIndex(*given, in->size()) : std::nullopt;
  if (!axis) return;
  ties.Parameter(1);
  AlongAxis(ties, *axis, true);
}

void CumSum(NodeTies& ties) {
  const Dims* in = ties.In(0);
  ties.Because("adds along them");
  const auto given = ties.view().OneInt(1);
  const auto axis = in && given ? shapes::AxisIndex(*given, in->size()) : std::nullopt;
  if (!axis) return;
  ties.Parameter(1);
  AlongAxis(ties, *axis, true);
}

// Known, but every element's place matters.
void Positional(NodeTies&) {}

constexpr std::string_view kPositional[] = {"AffineGrid",
                                            "BlackmanWindow",
                                            "CenterCropPad",
                                            "Col2Im",
                                            "Compress",
                                            "ConcatFromSequence",
                                            "DFT",
                                            "DeformConv",
                                            "Det",
                                            "EyeLike",
                                            "GatherElements",
                                            "GatherND",
                                            "GridSample",
                                            "MaxRoiPool",
                                            "MaxUnpool",
                                            "Multinomial",
                                            "NonMaxSuppression",
                                            "NonZero",
                                            "OneHot",
                                            "ReverseSequence",
                                            "RoiAlign",
                                            "STFT",
                                            "Scatter",
                                            "ScatterElements",
                                            "ScatterND",
                                            "Trilu",
                                            "Unique"};

constexpr RuleEntry kOthers[] = {
    {"", "ArgMax", &ArgReduce},
    {"", "ArgMin", &ArgReduce},
    {"", "ConstantOfShape", &ReadsNumbers},
    {"", "CumSum", &CumSum},
    {"", "Gather", &Gather},
    {"", "Range", &ReadsNumbers},
    {"", "ReduceL1", &Reduce},
    {"", "ReduceL2", &Reduce},
    {"", "ReduceLogSum", &Reduce},
    {"", "ReduceLogSumExp", &Reduce},
    {"", "ReduceMax", &Reduce},
    {"", "ReduceMean", &Reduce},
    {"", "ReduceMin", &Reduce},
    {"", "ReduceProd", &Reduce},
    {"", "ReduceSum", &Reduce},
    {"", "ReduceSumSquare", &Reduce},
    {"", "Shape", &ReadsShape},
    {"", "Size", &ReadsShape},
    {"", "TopK", &TopK},
};

std::vector<RuleEntry> MakeRules() {
  std::vector<RuleEntry> rules(std::begin(kOthers), std::end(kOthers));
  for (const std::string_view op : kPositional) rules.push_back({"", op, &Positional});
  return rules;
}

}  // namespace

std::span<const RuleEntry> IndexRules() {
  static const std::vector<RuleEntry> rules = MakeRules();
  return rules;
}

}  // namespace espalier::coupling
