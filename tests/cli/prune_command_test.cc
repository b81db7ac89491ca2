#include <filesystem>
#include <span>

#include "cli_testing.h"
#include "espalier/io/pth.h"

namespace espalier::cli {
namespace {

class PruneCommandTest : public CliTest {
 protected:
  Outcome Prune(std::vector<std::string> options, const std::string& output = "o.npy") {
    options.insert(options.begin(), {"prune", Path("w.npy"), "-o", Path(output)});
    return RunWith(options);
  }

  void ExpectWrongUse(const std::vector<std::string>& options, std::string_view says) {
    const Outcome run = Prune(options);
    EXPECT_EQ(run.status, kWrongUse) << run.talk;
    EXPECT_TRUE(Contains(run.talk, says)) << run.talk;
    EXPECT_EQ(run.out, "");
    EXPECT_FALSE(std::filesystem::exists(Path("o.npy")));
  }
};

TEST_F(PruneCommandTest, WritesTheMaskedMatrixAndReportsWhatWasKept) {
  const Outcome run = Prune({"--pattern", "2:4", "--json"});
  ASSERT_EQ(run.status, kDone) << run.talk;
  const std::vector<float> row = {0, 0, 3, 4, 0, 0, 7, 8};
  const std::vector<float> values = ReadMatrix("o.npy");
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], row[i % 8]) << i;
  const nlohmann::json json = run.Json();
  EXPECT_EQ(json.at("pattern"), "2:4");
  EXPECT_EQ(json.at("criterion"), "magnitude");
  EXPECT_EQ(json.at("sparsity"), 0.5);
  EXPECT_DOUBLE_EQ(json.at("kept_magnitude"), 22.0 / 36.0);
  EXPECT_EQ(json.at("layers").at(0).at("dropped"), 32);
}

TEST_F(PruneCommandTest, TableNamesTheLayerAndTheTotals) {
  const Outcome run = Prune({"--pattern", "2:4"});
  for (const char* part : {"8x8", "50.0%", "61.1%", "1 of 1 layers pruned to 2:4 by magnitude"}) {
    EXPECT_TRUE(Contains(run.out, part)) << run.out;
  }
  EXPECT_EQ(run.talk, "");
}

TEST_F(PruneCommandTest, PrunesPyTorchFiles) {
  std::vector<float> values(16 * 16);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7 + 1);
  WritePth(Path("m.pth"), Overwrite::kNo,
           {{"fc.weight", DType::kFloat32, {16, 16}, std::as_bytes(std::span(values))}});
  const Outcome run = RunWith({"prune", Path("m.pth"), "-o", Path("o.pt"), "--pattern", "2:4"});
  ASSERT_EQ(run.status, kDone) << run.talk;
  EXPECT_TRUE(Contains(run.out, "1 of 1 layers pruned to 2:4 by magnitude")) << run.out;
  EXPECT_EQ(RunWith({"verify", Path("o.pt"), "--pattern", "2:4"}).status, kDone);
  EXPECT_NE(RunWith({"verify", Path("m.pth"), "--pattern", "2:4"}).status, kDone);
  EXPECT_TRUE(Contains(RunWith({"inspect", Path("o.pt")}).out, "50.0%"));
  for (const char* other : {"o.onnx", "o.safetensors"}) {
    const Outcome refused =
        RunWith({"prune", Path("m.pth"), "-o", Path(other), "--pattern", "2:4"});
    EXPECT_EQ(refused.status, kWrongUse);
    EXPECT_TRUE(Contains(refused.talk, "looks like another format")) << refused.talk;
  }
  const Outcome network = RunWith({"run", Path("m.pth")});
  EXPECT_TRUE(Contains(network.talk, "holds weights without a network")) << network.talk;
}

TEST_F(PruneCommandTest, QuietSaysNothing) {
  const Outcome run = Prune({"--pattern", "2:4", "--quiet"});
  EXPECT_EQ(run.status, kDone);
  EXPECT_EQ(run.out + run.talk, "");
}

TEST_F(PruneCommandTest, ListsWhatIsLeftWithTheReason) {
  const Outcome run = Prune({"--pattern", "2:4", "--align", "tensorrt"});
  EXPECT_EQ(run.status, kDone);
  EXPECT_TRUE(Contains(run.out, "C/groups = 8 is not a multiple of 16")) << run.out;
  EXPECT_TRUE(Contains(run.talk, "warning: no layer was pruned")) << run.talk;
}

TEST_F(PruneCommandTest, RefusesAnOutputThatExistsUnlessForced) {
  ASSERT_EQ(Prune({"--pattern", "2:4"}).status, kDone);
  const Outcome run = Prune({"--pattern", "1:4"});
  EXPECT_EQ(run.status, kWrongUse);
  EXPECT_TRUE(Contains(run.talk, "--force")) << run.talk;
  EXPECT_EQ(ReadMatrix("o.npy")[2], 3) << "the old output is still there";
  EXPECT_EQ(Prune({"--pattern", "1:4", "--force"}).status, kDone);
  EXPECT_EQ(ReadMatrix("o.npy")[2], 0);
}

TEST_F(PruneCommandTest, CannotWriteBelowAFile) {
  EXPECT_EQ(Prune({"--pattern", "2:4"}, "w.npy/o.npy").status, kCouldNotWrite);
}

TEST_F(PruneCommandTest, RefusesOptionsThatDoNotFitThePattern) {
  ExpectWrongUse({"--pattern", "2:3:4"}, "'2:3:4'");
  ExpectWrongUse({"--pattern", "2:4", "--sparsity", "0.5"}, "takes no sparsity");
  ExpectWrongUse({"--pattern", "unstructured"}, "needs a sparsity");
  ExpectWrongUse({"--pattern", "2:4", "--criterion", "taylor"}, "'taylor'");
  ExpectWrongUse({"--pattern", "2:4", "--only", "foo"}, "'foo'");
  ExpectWrongUse({"--pattern", "2:4", "--align", "x"}, "tensorrt");
}

TEST_F(PruneCommandTest, RefusesNumbersThatAreNone) {
  for (const char* bad : {"x", "", "nan", "inf", "0.5x", "1e999"}) {
    const std::string says = std::string("'") + bad + "' is not a finite number";
    ExpectWrongUse({"--pattern", "unstructured", "--sparsity", bad}, says);
    ExpectWrongUse({"--pattern", "unstructured", "--threshold", bad}, says);
  }
  ExpectWrongUse({"--pattern", "unstructured", "--sparsity", "1"}, "sparsity 1 is not in");
  ExpectWrongUse({"--pattern", "unstructured", "--sparsity=-0.5"}, "sparsity -0.5 is not in");
  ExpectWrongUse({"--pattern", "unstructured", "--threshold=-1"}, "threshold -1 is not");
  for (const char* bad : {"-1", "1.5", "x", "18446744073709551616"}) {
    ExpectWrongUse({"--pattern", "2:4", "--seed", bad}, "is not a whole number");
  }
}

TEST_F(PruneCommandTest, TakesTheLargestSeed) {
  EXPECT_EQ(
      Prune({"--pattern", "2:4", "--criterion", "random", "--seed", "18446744073709551615"}).status,
      kDone);
}

TEST_F(PruneCommandTest, TakesRatiosFromAFile) {
  WriteText("r.csv", "layer,sparsity\nw,0.25\n");
  EXPECT_EQ(
      Prune({"--pattern", "unstructured", "--ratios", Path("r.csv"), "--json"}).Json()["sparsity"],
      0.25);
  WriteText("r.csv", "nobody,0.25\n");
  EXPECT_TRUE(Contains(
      Prune({"--pattern", "unstructured", "--ratios", Path("r.csv")}, "p.npy").talk, "'nobody'"));
}

TEST_F(PruneCommandTest, NanIsStatus3AndNamesThePlace) {
  std::vector<float> values(16, 1.0f);
  values[6] = __builtin_nanf("");
  WriteMatrix("w.npy", {4, 4}, values);
  const Outcome run = Prune({"--pattern", "2:4"});
  EXPECT_EQ(run.status, kBadFile);
  EXPECT_TRUE(Contains(run.talk, "NaN at output channel 1, input channel 2")) << run.talk;
  EXPECT_FALSE(std::filesystem::exists(Path("o.npy")));
}

}  // namespace
}  // namespace espalier::cli
