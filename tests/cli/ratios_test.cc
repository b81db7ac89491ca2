#include "cli/ratios.h"

#include "cli_testing.h"
#include "espalier/base/error.h"

namespace espalier::cli {
namespace {

class RatiosTest : public CliTest {
 protected:
  // The error's text; fails if there is none or it has another code.
  std::string ErrorOf(std::string_view text) {
    WriteText("r.csv", text);
    try {
      ReadRatios(Path("r.csv"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFile);
      return error.what();
    }
    ADD_FAILURE() << "no error for " << text;
    return "";
  }
};

TEST_F(RatiosTest, ReadsLinesAndPassesOverTheTitleCommentsAndEmptyLines) {
  WriteText("r.csv", "layer,sparsity\r\n# comment\r\n\r\nconv1,0.5\r\nfc,0\n");
  const std::map<std::string, double> expected = {{"conv1", 0.5}, {"fc", 0.0}};
  EXPECT_EQ(ReadRatios(Path("r.csv")), expected);
}

TEST_F(RatiosTest, TakesTheLastCommaForTheSeparator) {
  WriteText("r.csv", "a,b,0.25");
  EXPECT_EQ(ReadRatios(Path("r.csv")), (std::map<std::string, double>{{"a,b", 0.25}}));
}

TEST_F(RatiosTest, ReadsAnEmptyFile) {
  WriteText("r.csv", "");
  EXPECT_TRUE(ReadRatios(Path("r.csv")).empty());
}

TEST_F(RatiosTest, NamesTheBadLine) {
  for (const char* bad : {"fc", "fc,", "fc,half", "fc,0.5 ", "fc,0.5,", "fc;0.5", "fc,1e999"}) {
    const std::string text = ErrorOf("ok,0.1\n" + std::string(bad) + "\n");
    EXPECT_TRUE(Contains(text, "r.csv:2: '" + std::string(bad) + "' is not `layer,sparsity`"))
        << text;
  }
}

TEST_F(RatiosTest, RefusesTheTitleFurtherDown) {
  EXPECT_TRUE(Contains(ErrorOf("a,0.1\nlayer,sparsity\n"), "r.csv:2:"));
}

TEST_F(RatiosTest, RefusesALayerTwice) {
  EXPECT_TRUE(Contains(ErrorOf("fc,0.5\nfc,0.5\n"), "r.csv:2: layer 'fc' has a ratio already"));
}

TEST_F(RatiosTest, RefusesAMissingFile) { EXPECT_THROW(ReadRatios(Path("none.csv")), Error); }

}  // namespace
}  // namespace espalier::cli
