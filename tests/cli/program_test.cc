#include <sstream>

#include "cli_testing.h"

namespace espalier::cli {
namespace {

using ProgramTest = CliTest;

void ExpectWrongUse(const std::vector<std::string>& arguments, std::string_view says) {
  const Outcome run = RunWith(arguments);
  EXPECT_EQ(run.status, kWrongUse) << run.talk;
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.talk.substr(0, 10), "espalier: ") << run.talk;
  EXPECT_TRUE(Contains(run.talk, says)) << run.talk;
}

TEST_F(ProgramTest, HelpListsEverySubcommandAndTheExitStatuses) {
  const Outcome run = RunWith({"--help"});
  EXPECT_EQ(run.status, kDone);
  EXPECT_EQ(run.talk, "");
  for (const char* part :
       {"inspect", "verify", "prune", "run", "compare", "bench", "eval", "compile", "patterns",
        "criteria", "--json", "--threads", "--config", "70 a fault of espalier itself"}) {
    EXPECT_TRUE(Contains(run.out, part)) << part;
  }
}

TEST_F(ProgramTest, HelpFits80Columns) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"inspect", "--help"},
                                                    {"verify", "--help"},
                                                    {"prune", "--help"},
                                                    {"permute", "--help"},
                                                    {"patterns", "--help"},
                                                    {"criteria", "--help"},
                                                    {"patterns"},
                                                    {"criteria"}}) {
    std::istringstream lines(RunWith(arguments).out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST_F(ProgramTest, SaysItsVersion) {
  const Outcome run = RunWith({"--version"});
  EXPECT_EQ(run.status, kDone);
  EXPECT_EQ(run.out.substr(0, 9), "espalier ");
}

TEST_F(ProgramTest, RefusesWhatItDoesNotKnow) {
  ExpectWrongUse({}, "subcommand");
  ExpectWrongUse({"frobnicate"}, "there is no subcommand 'frobnicate'");
  ExpectWrongUse({"inspect"}, "MODEL is required");
  ExpectWrongUse({"inspect"}, "See `espalier inspect --help`.");
  ExpectWrongUse({"inspect", Path("w.npy"), "--bogus"}, "--bogus");
  ExpectWrongUse({"inspect", Path("w.npy"), "--threads", "0"}, "--threads");
  ExpectWrongUse({"inspect", Path("w.npy"), "--\x1b[31m"}, "--\\x1b[31m");
}

TEST_F(ProgramTest, ListsPatternsAndCriteria) {
  EXPECT_TRUE(Contains(RunWith({"patterns"}).out, "2:4-transposable"));
  EXPECT_TRUE(Contains(RunWith({"criteria"}).out, "magnitude:l2"));
  const nlohmann::json patterns = RunWith({"patterns", "--json"}).Json();
  EXPECT_EQ(patterns.at(0).at("name"), "N:M");
}

TEST_F(ProgramTest, InspectCountsWeightsAndZeros) {
  std::vector<float> values(32, 0.0f);
  for (std::size_t i = 0; i < values.size(); i += 4) values[i] = 1;
  WriteMatrix("z.npy", {4, 8}, values);
  const nlohmann::json json = RunWith({"inspect", Path("z.npy"), "--json"}).Json();
  EXPECT_EQ(json.at("parameters"), 32);
  EXPECT_EQ(json.at("sparsity"), 0.75);
  const std::vector<std::string> patterns = json.at("layers").at(0).at("patterns");
  EXPECT_EQ(patterns, (std::vector<std::string>{"1:2", "1:4", "2:4", "4:8"}));
  EXPECT_TRUE(Contains(RunWith({"inspect", Path("z.npy")}).out, "75.0%"));
}

TEST_F(ProgramTest, BadFileIsStatus3) {
  WriteText("m.onnx", "not a model");
  const Outcome run = RunWith({"inspect", Path("m.onnx")});
  EXPECT_EQ(run.status, kBadFile);
  EXPECT_TRUE(Contains(run.talk, "m.onnx")) << run.talk;
  EXPECT_EQ(RunWith({"inspect", Path("none.npy")}).status, kBadFile);
}

TEST_F(ProgramTest, UnsupportedTypeIsStatus4) {
  NpyArray array{DType::kInt64, {2, 2}, false, std::vector<std::byte>(32)};
  WriteNpy(Path("i.npy"), Overwrite::kNo, array);
  const Outcome run = RunWith({"inspect", Path("i.npy")});
  EXPECT_EQ(run.status, kUnsupported);
  EXPECT_TRUE(Contains(run.talk, "int64")) << run.talk;
}

TEST_F(ProgramTest, ReadsOptionsFromAFileAndTheCommandLineGoesFirst) {
  WriteText("c.toml", "json = true\n[prune]\npattern = \"unstructured\"\nsparsity = 0.25\n");
  const std::vector<std::string> common = {"prune", Path("w.npy"), "--config", Path("c.toml")};
  std::vector<std::string> arguments = common;
  arguments.insert(arguments.end(), {"-o", Path("a.npy")});
  EXPECT_EQ(RunWith(arguments).Json().at("sparsity"), 0.25);
  arguments = common;
  arguments.insert(arguments.end(), {"-o", Path("b.npy"), "--sparsity", "0.5"});
  EXPECT_EQ(RunWith(arguments).Json().at("sparsity"), 0.5);
}

TEST_F(ProgramTest, RefusesUnknownKeysOfAFileAndAMissingFile) {
  WriteText("c.toml", "[inspect]\nsparcity = 0.25\n");
  ExpectWrongUse({"inspect", Path("w.npy"), "--config", Path("c.toml")}, "sparcity");
  EXPECT_EQ(RunWith({"inspect", Path("w.npy"), "--config", Path("none.toml")}).status, kBadFile);
}

}  // namespace
}  // namespace espalier::cli
