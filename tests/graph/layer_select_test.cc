#include "espalier/graph/layer_select.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "espalier/base/error.h"

namespace espalier {
namespace {

Layer MakeLayer(std::string name, LayerKind kind, Dims shape) {
  Layer layer;
  layer.name = std::move(name);
  layer.weight = layer.name + ".weight";
  layer.kind = kind;
  layer.shape = std::move(shape);
  return layer;
}

// stem (conv, 432 weights), dw (depthwise, 144), pw (1x1, 512), rnn:W (64), head (linear, 320)
std::vector<Layer> FiveLayers() {
  std::vector<Layer> layers = {MakeLayer("stem", LayerKind::kConv, {16, 3, 3, 3}),
                               MakeLayer("dw", LayerKind::kConv, {16, 1, 3, 3}),
                               MakeLayer("pw", LayerKind::kConv, {32, 16, 1, 1}),
                               MakeLayer("rnn:W", LayerKind::kRecurrent, {1, 8, 8}),
                               MakeLayer("head", LayerKind::kLinear, {32, 10})};
  layers[1].depthwise = true;
  layers[2].pointwise = true;
  return layers;
}

std::vector<LayerTerm> Terms(std::string_view text) {
  return text.empty() ? std::vector<LayerTerm>() : ParseLayerTerms(text);
}

struct Selected {
  std::string names;  // of chosen layers, with spaces between
  std::vector<std::string> reasons;
  std::vector<std::string> unmatched;
};

Selected Select(const std::vector<Layer>& layers, std::string_view only, std::string_view skip) {
  Selected selected;
  selected.reasons = SelectLayers(layers, {Terms(only), Terms(skip)}, &selected.unmatched);
  EXPECT_EQ(selected.reasons.size(), layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!selected.reasons[i].empty()) continue;
    selected.names += (selected.names.empty() ? "" : " ") + layers[i].name;
  }
  return selected;
}

std::string Only(std::string_view only) { return Select(FiveLayers(), only, "").names; }
std::string Without(std::string_view skip) { return Select(FiveLayers(), "", skip).names; }

TEST(LayerSelect, ChoosesAllWithoutTerms) { EXPECT_EQ(Only(""), "stem dw pw rnn:W head"); }

TEST(LayerSelect, HasATermForEachKind) {
  EXPECT_EQ(Only("conv"), "stem dw pw");
  EXPECT_EQ(Only("conv1x1"), "pw");
  EXPECT_EQ(Only("depthwise"), "dw");
  EXPECT_EQ(Only("linear"), "head");
  EXPECT_EQ(Only("recurrent"), "rnn:W");
}

TEST(LayerSelect, CountsFromEitherEnd) {
  EXPECT_EQ(Only("first"), "stem");
  EXPECT_EQ(Only("first:1"), "stem");
  EXPECT_EQ(Only("first:2"), "stem dw");
  EXPECT_EQ(Only("last"), "head");
  EXPECT_EQ(Only("last:2"), "rnn:W head");
  EXPECT_EQ(Only("first:5"), "stem dw pw rnn:W head");
  EXPECT_EQ(Only("last:9223372036854775807"), "stem dw pw rnn:W head");
}

TEST(LayerSelect, ComparesWeightsWithSmaller) {
  EXPECT_EQ(Only("smaller:144"), "rnn:W");
  EXPECT_EQ(Only("smaller:145"), "dw rnn:W");
  EXPECT_EQ(Without("smaller:145"), "stem pw head");
}

TEST(LayerSelect, MatchesTheWholeNameOfLayerOrWeight) {
  EXPECT_EQ(Only("name:stem"), "stem");
  EXPECT_EQ(Only("name:ste"), "");
  EXPECT_EQ(Only("name:.w"), "dw pw");
  EXPECT_EQ(Only("name:rnn:.*"), "rnn:W");
  EXPECT_EQ(Only("name:head\\.weight"), "head");
  EXPECT_EQ(Only("name:(?i)HEAD"), "head");
}

TEST(LayerSelect, KeepsAnEscapedCommaInTheExpression) {
  EXPECT_EQ(Only("name:[a-z]{2\\,4}"), "stem dw pw head");
  EXPECT_EQ(Only("name:[a-z]{3\\,},linear"), "stem head");
  EXPECT_EQ(ParseLayerTerms("name:a\\,b,conv").size(), 2u);
}

TEST(LayerSelect, JoinsTermsByOr) {
  EXPECT_EQ(Only("conv1x1,linear"), "pw head");
  EXPECT_EQ(Without("first,last"), "dw pw rnn:W");
}

TEST(LayerSelect, SkipWinsOverOnly) {
  EXPECT_EQ(Select(FiveLayers(), "conv", "depthwise,first").names, "pw");
  EXPECT_EQ(Select(FiveLayers(), "name:dw", "name:dw").names, "");
}

TEST(LayerSelect, SaysWhyALayerIsNotChosen) {
  const auto selected = Select(FiveLayers(), "conv", "linear,depthwise");
  EXPECT_EQ(selected.reasons,
            (std::vector<std::string>{"", "--skip depthwise", "", "not chosen by --only",
                                      "not chosen by --only"}));
}

TEST(LayerSelect, QuotesTermsAsWritten) {
  EXPECT_EQ(Select(FiveLayers(), "", "name:[dp]{1\\,1}w").reasons[1], "--skip name:[dp]{1\\,1}w");
  EXPECT_EQ(Select(FiveLayers(), "name:x{1\\,2}", "").unmatched,
            (std::vector<std::string>{"name:x{1\\,2}"}));
}

TEST(LayerSelect, PutsALayersOwnRefusalFirst) {
  auto layers = FiveLayers();
  layers[0].refusal = "its type int4 cannot be pruned";
  EXPECT_EQ(Select(layers, "name:stem", "").reasons[0], "its type int4 cannot be pruned");
  EXPECT_EQ(Select(layers, "linear", "first").reasons[0], "its type int4 cannot be pruned");
  // It keeps its place in the list.
  EXPECT_EQ(Select(layers, "first:2", "").names, "dw");
}

TEST(LayerSelect, ChoosesALayerWithACautionOnlyByName) {
  auto layers = FiveLayers();
  layers[4].caution = "it decodes boxes";
  EXPECT_EQ(Select(layers, "", "").reasons[4], "it decodes boxes");
  EXPECT_EQ(Select(layers, "linear,last", "").reasons[4], "it decodes boxes");
  EXPECT_EQ(Select(layers, "conv", "").reasons[4], "not chosen by --only");
  EXPECT_EQ(Select(layers, "name:head", "").names, "head");
  EXPECT_EQ(Select(layers, "linear,name:head", "").names, "head");
  EXPECT_EQ(Select(layers, "name:head", "last").reasons[4], "--skip last");
}

TEST(LayerSelect, ReportsTermsThatMatchNoLayer) {
  const auto selected = Select(FiveLayers(), "conv,name:stern", "smaller:1,linear");
  EXPECT_EQ(selected.unmatched, (std::vector<std::string>{"name:stern", "smaller:1"}));
}

TEST(LayerSelect, ATermThatMatchesARefusedLayerIsNotUnmatched) {
  auto layers = FiveLayers();
  layers[4].refusal = "no";
  EXPECT_TRUE(Select(layers, "linear", "").unmatched.empty());
}

TEST(LayerSelect, OfNoLayersMatchesNothing) {
  const auto selected = Select({}, "conv", "last");
  EXPECT_TRUE(selected.reasons.empty());
  EXPECT_EQ(selected.unmatched, (std::vector<std::string>{"conv", "last"}));
}

void ExpectRefused(const std::string& text, const std::string& term, const std::string& why) {
  SCOPED_TRACE(text);
  try {
    ParseLayerTerms(text);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    const std::string what = error.what();
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(what.find(fmt::format("layer selection '{}'", term)), std::string::npos) << what;
    EXPECT_NE(what.find(why), std::string::npos) << what;
    EXPECT_NE(what.find("conv, conv1x1, depthwise, linear, recurrent, first[:N], last[:N], "
                        "smaller:N, name:REGEX"),
              std::string::npos)
        << what;
  }
}

TEST(LayerTerms, RefuseUnknownWordsWithTheList) {
  for (const char* term : {"", "Conv", "convs", " conv", "conv ", "conv:3", "conv1x1:", "linear:1",
                           "name", "name:", ":", "firsts", "\\", "smaller1"}) {
    ExpectRefused(term, term, "unknown term");
  }
}

TEST(LayerTerms, SayHowToChooseByName) {
  ExpectRefused("conv12", "conv12",
                "unknown term; to choose a layer by its name write name:conv12; terms are");
  for (const char* term : {"", "name:", "conv:3"}) {
    ExpectRefused(term, term,
                  "unknown term; to choose a layer by its name write name:conv10; terms are");
  }
}

TEST(LayerTerms, NameTheBadOneOfSeveral) {
  ExpectRefused("conv,bogus,linear", "bogus", "unknown term");
  ExpectRefused("conv,", "", "unknown term");
  ExpectRefused(",conv", "", "unknown term");
  ExpectRefused("conv,,linear", "", "unknown term");
}

TEST(LayerTerms, RefuseCountsThatAreNotAboveZero) {
  for (const char* word : {"first", "last", "smaller"}) {
    for (const char* count : {"0", "-1", "", "x", "1.5", "9223372036854775808", "1:2"}) {
      const std::string term = fmt::format("{}:{}", word, count);
      ExpectRefused(term, term, fmt::format("'{}' is not a number above 0", count));
    }
  }
  ExpectRefused("smaller", "smaller", "'' is not a number above 0");
}

TEST(LayerTerms, RefuseBadExpressionsWithRe2sOwnReason) {
  ExpectRefused("name:(", "name:(", "bad regular expression: missing )");
  ExpectRefused("name:*", "name:*", "bad regular expression: no argument for repetition");
  ExpectRefused("name:(?=x)", "name:(?=x)", "bad regular expression: invalid perl operator");
}

TEST(LayerTerms, KnowWhetherTheyGoByName) {
  const auto terms = ParseLayerTerms("conv,name:x,first:2");
  ASSERT_EQ(terms.size(), 3u);
  EXPECT_FALSE(terms[0].by_name);
  EXPECT_TRUE(terms[1].by_name);
  EXPECT_FALSE(terms[2].by_name);
  EXPECT_EQ(terms[2].text, "first:2");
}

}  // namespace
}  // namespace espalier
