#include "cli_testing.h"

namespace espalier::cli {
namespace {

class VerifyCommandTest : public CliTest {
 protected:
  Outcome Verify(const std::string& name, std::vector<std::string> options) {
    options.insert(options.begin(), {"verify", Path(name)});
    return RunWith(options);
  }
};

TEST_F(VerifyCommandTest, BrokenPatternIsStatus1AndNamesTheFirstPlace) {
  const Outcome run = Verify("w.npy", {"--pattern", "2:4"});
  EXPECT_EQ(run.status, kCheckSaidNo);
  EXPECT_TRUE(Contains(run.out, "4 nonzeros in the group at k=0 c=0 r=0 s=0")) << run.out;
  EXPECT_TRUE(Contains(run.out, "2:4 is broken: it holds in 0 of 1 checked layers")) << run.out;
  const nlohmann::json json = Verify("w.npy", {"--pattern", "2:4", "--json"}).Json();
  EXPECT_EQ(json.at("holds"), false);
  EXPECT_EQ(json.at("layers").at(0).at("first_violation"),
            nlohmann::json({{"k", 0}, {"c", 0}, {"r", 0}, {"s", 0}, {"nonzeros", 4}}));
}

TEST_F(VerifyCommandTest, PlaceHasADepthForVolumes) {
  std::vector<float> values(1 * 4 * 2 * 1 * 1, 0.0f);
  for (std::size_t c = 0; c < 3; ++c) values[2 * c + 1] = 1;
  WriteMatrix("v.npy", {1, 4, 2, 1, 1}, values);
  const Outcome run = Verify("v.npy", {"--pattern", "2:4"});
  EXPECT_TRUE(Contains(run.out, "3 nonzeros in the group at k=0 c=0 d=1 r=0 s=0")) << run.out;
}

TEST_F(VerifyCommandTest, HoldingPatternIsStatus0) {
  ASSERT_EQ(RunWith({"prune", Path("w.npy"), "-o", Path("o.npy"), "--pattern", "2:4"}).status,
            kDone);
  const Outcome run = Verify("o.npy", {"--pattern", "2:4"});
  EXPECT_EQ(run.status, kDone);
  EXPECT_TRUE(Contains(run.out, "2:4 holds in 1 of 1 checked layers")) << run.out;
}

TEST_F(VerifyCommandTest, NothingToCheckIsNoSuccess) {
  const Outcome run = Verify("w.npy", {"--pattern", "2:4", "--only", "conv"});
  EXPECT_EQ(run.status, kCheckSaidNo);
  EXPECT_TRUE(Contains(run.out, "2:4: there is no layer to check")) << run.out;
  EXPECT_TRUE(Contains(run.talk, "no layer was checked")) << run.talk;
}

TEST_F(VerifyCommandTest, RatioIsForRankedPatternsOnly) {
  EXPECT_EQ(Verify("w.npy", {"--pattern", "2:4", "--sparsity", "0.5"}).status, kWrongUse);
  const Outcome run = Verify("w.npy", {"--pattern", "channel", "--sparsity", "0.5"});
  EXPECT_EQ(run.status, kCheckSaidNo);
  EXPECT_TRUE(Contains(run.out, "0 of 8 units are zero, 4 are needed")) << run.out;
}

}  // namespace
}  // namespace espalier::cli
