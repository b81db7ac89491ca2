#include "espalier/graph/layer_select.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "espalier/base/error.h"
#include "espalier/pattern/registry.h"

namespace espalier {
namespace {

constexpr std::string_view kTerms =
    "conv, conv1x1, depthwise, linear, recurrent, first[:N], last[:N], smaller:N, name:REGEX";

using Matches = decltype(LayerTerm::matches);

[[noreturn]] void BadTerm(std::string_view term, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("layer selection '{}': {}; terms are {}", term, why, kTerms));
}

struct KindTerm {
  std::string_view name;
  bool (*matches)(const Layer& layer);
};

constexpr KindTerm kKinds[] = {
    {"conv", [](const Layer& layer) { return layer.kind == LayerKind::kConv; }},
    {"conv1x1", [](const Layer& layer) { return layer.pointwise; }},
    {"depthwise", [](const Layer& layer) { return layer.depthwise; }},
    {"linear", [](const Layer& layer) { return layer.kind == LayerKind::kLinear; }},
    {"recurrent", [](const Layer& layer) { return layer.kind == LayerKind::kRecurrent; }},
};

std::int64_t CountOf(std::string_view term, std::string_view argument) {
  const auto count = ParseCount(argument, std::numeric_limits<std::int64_t>::max());
  if (!count || *count < 1) BadTerm(term, fmt::format("'{}' is not a number above 0", argument));
  return *count;
}

Matches NameMatches(std::string_view term, std::string_view expression) {
  auto regex =
      std::make_shared<RE2>(re2::StringPiece(expression.data(), expression.size()), RE2::Quiet);
  if (!regex->ok()) BadTerm(term, fmt::format("bad regular expression: {}", regex->error()));
  return [regex](const Layer& layer, std::size_t, std::size_t) {
    return RE2::FullMatch(layer.name, *regex) || RE2::FullMatch(layer.weight, *regex);
  };
}

LayerTerm ParseTerm(const std::string& term) {
  const auto kind = std::ranges::find(kKinds, term, &KindTerm::name);
  if (kind != std::end(kKinds)) {
    const auto matches = kind->matches;
    return {term, false,
            [matches](const Layer& layer, std::size_t, std::size_t) { return matches(layer); }};
  }
  const std::size_t colon = term.find(':');
  const std::string_view word = std::string_view(term).substr(0, colon);
  const std::string_view argument =
      colon == std::string::npos ? "" : std::string_view(term).substr(colon + 1);
  if (word == "name" && !argument.empty()) return {term, true, NameMatches(term, argument)};
  if (word == "smaller") {
    const std::int64_t most = CountOf(term, argument);
    return {term, false, [most](const Layer& layer, std::size_t, std::size_t) {
              return ElementCount(layer.shape) < most;
            }};
  }
  if (word == "first" || word == "last") {
    const bool from_end = word == "last";
    const auto most =
        colon == std::string::npos ? 1 : static_cast<std::size_t>(CountOf(term, argument));
    return {term, false, [=](const Layer&, std::size_t index, std::size_t count) {
              return (from_end ? count - 1 - index : index) < most;
            }};
  }
  const bool like_name = !term.empty() && colon == std::string::npos;
  BadTerm(term, fmt::format("unknown term; to choose a layer by its name write name:{}",
                            like_name ? term : "conv10"));
}

bool AnyMatches(const std::vector<LayerTerm>& terms, const Layer& layer, std::size_t index,
                std::size_t count, const LayerTerm** which) {
  for (const LayerTerm& term : terms) {
    if (!term.matches(layer, index, count)) continue;
    *which = &term;
    return true;
  }
  return false;
}

bool IsNamed(const LayerSelection& selection, const Layer& layer, std::size_t index,
             std::size_t count) {
  return std::ranges::any_of(selection.only, [&](const LayerTerm& term) {
    return term.by_name && term.matches(layer, index, count);
  });
}

std::string ReasonToSkip(const LayerSelection& selection, const Layer& layer, std::size_t index,
                         std::size_t count) {
  if (!layer.refusal.empty()) return layer.refusal;
  const LayerTerm* term = nullptr;
  if (!selection.only.empty() && !AnyMatches(selection.only, layer, index, count, &term)) {
    return "not chosen by --only";
  }
  if (AnyMatches(selection.skip, layer, index, count, &term)) {
    return fmt::format("--skip {}", term->text);
  }
  if (!layer.caution.empty() && !IsNamed(selection, layer, index, count)) return layer.caution;
  return "";
}

}  // namespace

std::vector<LayerTerm> ParseLayerTerms(std::string_view text) {
  std::vector<LayerTerm> terms;
  std::string term;  // without escapes
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text.substr(i, 2) == "\\,") {
      term += text[++i];
    } else if (i < text.size() && text[i] != ',') {
      term += text[i];
    } else {
      terms.push_back(ParseTerm(term));
      terms.back().text = text.substr(begin, i - begin);
      begin = i + 1;
      term.clear();
    }
  }
  return terms;
}

std::vector<std::string> SelectLayers(const std::vector<Layer>& layers,
                                      const LayerSelection& selection,
                                      std::vector<std::string>* unmatched) {
  std::vector<std::string> reasons;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    reasons.push_back(ReasonToSkip(selection, layers[i], i, layers.size()));
  }
  for (const auto* terms : {&selection.only, &selection.skip}) {
    for (const LayerTerm& term : *terms) {
      bool used = false;
      for (std::size_t i = 0; i < layers.size() && !used; ++i) {
        used = term.matches(layers[i], i, layers.size());
      }
      if (!used) unmatched->push_back(term.text);
    }
  }
  return reasons;
}

}  // namespace espalier
