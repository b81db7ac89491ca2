#include "espalier/pattern/registry.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "tests/pattern/pattern_case.h"

namespace espalier {
namespace {

using testing::ExpectError;
using testing::Make;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

std::string Quoted(std::string_view spec) { return fmt::format("'{}'", spec); }

TEST(PatternRegistry, MakesEverySpellingAndNamesItBack) {
  for (const char* spec :
       {"2:4", "1:2", "1:4", "4:8", "3:5", "1:65536", "65535:65536", "2:4-transposable",
        "block:4x1", "block:1x4", "block:1024x1024", "unstructured", "channel"}) {
    EXPECT_EQ(Make(spec)->Name(), spec);
  }
}

TEST(PatternRegistry, NamesLeadingZerosAway) {
  EXPECT_EQ(Make("02:004")->Name(), "2:4");
  EXPECT_EQ(Make("block:04x01")->Name(), "block:4x1");
}

TEST(PatternRegistry, RefusesUnknownSpellingsWithTheListOfKnownOnes) {
  for (const char* spec : {"",
                           " ",
                           "2",
                           ":",
                           "2:",
                           ":4",
                           "2:4 ",
                           " 2:4",
                           "+2:4",
                           "-2:4",
                           "2:-4",
                           "2.0:4",
                           "2:4:8",
                           "2x4",
                           "two:four",
                           "2:4-Transposable",
                           "2:4-transposabl",
                           "2:4-transposable ",
                           "1:4-transposable",
                           "Unstructured",
                           "unstructured:0.5",
                           "channels",
                           "channel:2",
                           "dense",
                           "nm:2,4",
                           "0x2:4"}) {
    SCOPED_TRACE(spec);
    ExpectError(ErrorCode::kInvalidArgument, Quoted(spec), [&] { Make(spec); });
    ExpectError(ErrorCode::kInvalidArgument,
                "N:M, 2:4-transposable, block:RxC, unstructured, channel", [&] { Make(spec); });
  }
}

TEST(PatternRegistry, RefusesNmWithNumbersThatMakeNoSense) {
  for (const char* spec : {"0:4", "4:4", "5:4", "0:0", "1:0", "1:1", "1:65537", "65536:65537",
                           "99999999999999999999:4", "1:99999999999999999999"}) {
    SCOPED_TRACE(spec);
    ExpectError(ErrorCode::kInvalidArgument, "pattern " + Quoted(spec), [&] { Make(spec); });
    ExpectError(ErrorCode::kInvalidArgument, "1 <= N < M <= 65536", [&] { Make(spec); });
  }
}

TEST(PatternRegistry, RefusesBlocksThatAreNotTwoSizes) {
  for (const char* spec :
       {"block",        "block:",     "block:4",     "block:x",   "block:4x",
        "block:x4",     "block:0x4",  "block:4x0",   "block:1x1", "block:1025x1",
        "block:1x1025", "block:-4x1", "block:4x1x1", "block:4X1", "block:4 x1",
        "block4x1",     "blocks:4x1", "block:4,1",   "blockx:4",  "block:2x99999999999999999999"}) {
    SCOPED_TRACE(spec);
    ExpectError(ErrorCode::kInvalidArgument, "pattern " + Quoted(spec), [&] { Make(spec); });
    ExpectError(ErrorCode::kInvalidArgument, "e.g. block:4x1", [&] { Make(spec); });
  }
}

// What a user writes: every n-th weight may stay.
class EveryNth final : public Pattern {
 public:
  explicit EveryNth(std::int64_t step) : step_(step) {}
  Kind kind() const override { return Kind::kPerGroup; }
  std::string Name() const override { return "every:" + std::to_string(step_); }
  void MaskGroups(std::span<const float>, const PackedShape&,
                  std::span<std::uint8_t> keep) const override {
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = i % step_ == 0;
  }

 private:
  std::int64_t step_;
};

PatternEntry EveryNthEntry() {
  return {"every:N", "keep every N-th weight",
          [](std::string_view spec) -> std::unique_ptr<Pattern> {
            if (!spec.starts_with("every:")) return nullptr;
            const auto step = ParseCount(spec.substr(6), 100);
            return step && *step > 0 ? std::make_unique<EveryNth>(*step) : nullptr;
          }};
}

TEST(PatternRegistry, MakesAUsersOwnPatternByName) {
  PatternRegistry registry = PatternRegistry::BuiltIn();
  registry.Add(EveryNthEntry());
  const auto pattern = registry.Make("every:3");
  EXPECT_EQ(pattern->Name(), "every:3");
  EXPECT_EQ(testing::MaskOf(*pattern, {1, 2, 3, 4}, {1, 1, 1, 4}),
            (std::vector<std::uint8_t>{1, 0, 0, 1}));
  EXPECT_EQ(registry.Make("2:4")->Name(), "2:4");
  ExpectError(ErrorCode::kInvalidArgument, "channel, every:N", [&] { registry.Make("every:0"); });
}

TEST(PatternRegistry, IsAValueSoThatTheBuiltInOneStaysAsItIs) {
  PatternRegistry registry = PatternRegistry::BuiltIn();
  registry.Add(EveryNthEntry());
  EXPECT_EQ(registry.entries().size(), 6u);
  EXPECT_EQ(PatternRegistry::BuiltIn().entries().size(), 5u);
  ExpectError(ErrorCode::kInvalidArgument, "'every:3'", [] { Make("every:3"); });
}

TEST(PatternRegistry, RefusesASecondEntryOfTheSameSpelling) {
  PatternRegistry registry = PatternRegistry::BuiltIn();
  ExpectError(ErrorCode::kInvalidArgument, "'block:RxC' is registered already", [&] {
    registry.Add({"block:RxC", "mine", nullptr});
  });
  EXPECT_EQ(registry.entries().size(), 5u);
}

TEST(PatternRegistry, HasOneLineOfHelpForEach) {
  for (const PatternEntry& entry : PatternRegistry::BuiltIn().entries()) {
    EXPECT_FALSE(entry.spelling.empty());
    EXPECT_FALSE(entry.help.empty()) << entry.spelling;
    EXPECT_EQ(entry.help.find('\n'), std::string::npos) << entry.spelling;
  }
}

// A pattern that forgets to override what its kind promises.
class Forgetful final : public Pattern {
 public:
  Kind kind() const override { return Kind::kRanked; }
  std::string Name() const override { return "forgetful"; }
};

TEST(Pattern, MethodsOfTheOtherKindAreInternalErrorsWithTheirName) {
  const Forgetful pattern;
  const PackedShape shape;
  const auto expect = [&](const std::string& function, const auto& call) {
    ExpectError(ErrorCode::kInternal, "'forgetful' does not implement " + function, call);
  };
  expect("MaskGroups", [&] { pattern.MaskGroups({}, shape, {}); });
  expect("FindViolation", [&] { (void)pattern.FindViolation({}, shape); });
  expect("UnitCount", [&] { (void)pattern.UnitCount(shape); });
  expect("UnitSize", [&] { (void)pattern.UnitSize(shape); });
  expect("ScoreUnits", [&] { pattern.ScoreUnits({}, shape, UnitNorm::kSum, {}); });
  expect("ExpandUnits", [&] { pattern.ExpandUnits({}, shape, {}); });
}

TEST(ParseCount, ReadsWholeStringsOfDigits) {
  EXPECT_EQ(ParseCount("0", kMost), 0);
  EXPECT_EQ(ParseCount("42", 42), 42);
  EXPECT_EQ(ParseCount("0042", 42), 42);
  EXPECT_EQ(ParseCount("9223372036854775807", kMost), kMost);
}

TEST(ParseCount, GivesNothingForAnythingElse) {
  for (const char* text : {"", " ", "-1", "-0", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "a", "1a",
                           "9223372036854775808", "99999999999999999999999"}) {
    EXPECT_EQ(ParseCount(text, kMost), std::nullopt) << "'" << text << "'";
  }
  EXPECT_EQ(ParseCount(std::string_view(), kMost), std::nullopt);
  EXPECT_EQ(ParseCount(std::string_view("1\0", 2), kMost), std::nullopt);
}

TEST(ParseCount, GivesNothingAboveTheLimit) {
  EXPECT_EQ(ParseCount("43", 42), std::nullopt);
  EXPECT_EQ(ParseCount("0", -1), std::nullopt);
}

}  // namespace
}  // namespace espalier
