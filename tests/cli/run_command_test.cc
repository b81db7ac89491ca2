#include "runtime_testing.h"

namespace espalier::cli {
namespace {

using RunCommandTest = RuntimeCliTest;

void ExpectSays(const Outcome& run, int status, std::string_view says) {
  EXPECT_EQ(run.status, status) << run.talk;
  EXPECT_EQ(run.out, "");
  EXPECT_TRUE(Contains(run.talk, says)) << run.talk;
}

TEST_F(RunCommandTest, WritesTheOutputsAndSaysWhatTheyAre) {
  std::vector<float> x(36);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i / 9 + 1);  // by channel
  WriteMatrix("x.npy", {1, 4, 3, 3}, x);
  const Outcome run = RunWith(
      {"run", Path("conv.onnx"), "--input", Path("x.npy"), "--output-dir", Path("out"), "--json"});
  ASSERT_EQ(run.status, kDone) << run.talk;
  const nlohmann::json output = run.Json().at("outputs").at(0);
  EXPECT_EQ(output.at("name"), "y");
  EXPECT_EQ(output.at("dtype"), "float32");
  EXPECT_EQ(output.at("shape"), nlohmann::json({1, 8, 3, 3}));
  EXPECT_EQ(output.at("min"), 0.0);
  EXPECT_EQ(output.at("max"), 16.0);  // channel 7: 4 * 4
  EXPECT_EQ(output.at("file"), Path("out/y.npy"));
  const std::vector<float> y = ReadMatrix("out/y.npy");
  for (std::size_t k = 0; k < 8; ++k) {
    const float want = std::max(0.0f, (static_cast<float>(k) - 3) * static_cast<float>(k % 4 + 1));
    for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(y[k * 9 + i], want) << k;
  }
}

TEST_F(RunCommandTest, OutputsAreOverwrittenOnlyByForce) {
  WriteMatrix("x.npy", {1, 4, 3, 3}, std::vector<float>(36, 1.0f));
  const std::vector<std::string> words = {
      "run", Path("conv.onnx"), "--input", Path("x.npy"), "--output-dir", Path("out"), "--quiet"};
  EXPECT_EQ(RunWith(words).status, kDone);
  ExpectSays(RunWith(words), kWrongUse, "y.npy' exists; --force overwrites it");
  std::vector<std::string> forced = words;
  forced.push_back("--force");
  EXPECT_EQ(RunWith(forced).status, kDone);
}

TEST_F(RunCommandTest, FolderThatCannotBeMadeIsStatus5) {
  WriteMatrix("x.npy", {1, 4, 3, 3}, std::vector<float>(36, 1.0f));
  WriteText("file", "not a folder");
  ExpectSays(RunWith({"run", Path("conv.onnx"), "--input", Path("x.npy"), "--output-dir",
                      Path("file/out")}),
             kCouldNotWrite, "file");
}

TEST_F(RunCommandTest, InputsThatDoNotFitAreWrongUse) {
  const std::string model = Path("conv.onnx");
  ExpectSays(RunWith({"run", model}), kWrongUse,
             "input 'x' is missing; it is float32 [1, 4, 3, 3]: --input x=FILE.npy");
  ExpectSays(RunWith({"run", model, "--input", "z=" + Path("w.npy")}), kWrongUse, "'z'");
  ExpectSays(RunWith({"run", model, "--input", Path("w.npy")}), kWrongUse, "[8, 8]");
  const std::string twice = "x=" + Path("w.npy");
  ExpectSays(RunWith({"run", model, "--input", twice, "--input", twice}), kWrongUse,
             "input 'x' is given twice");
  ExpectSays(RunWith({"run", model, "--input", Path("none.npy")}), kBadFile, "none.npy");
  WriteLabels("i.npy", std::vector<std::int64_t>(36, 1));
  ExpectSays(RunWith({"run", model, "--input", Path("i.npy")}), kWrongUse, "int64");
}

TEST_F(RunCommandTest, FilesThatAreNoNetworksAreRefused) {
  ExpectSays(RunWith({"run", Path("w.npy")}), kWrongUse, "holds weights without a network");
  ExpectSays(RunWith({"run", Path("none.onnx")}), kBadFile, "none.onnx");
  WriteText("bad.onnx", "not a model");
  ExpectSays(RunWith({"run", Path("bad.onnx")}), kBadFile, "bad.onnx");
}

TEST_F(RunCommandTest, UnknownOperatorIsStatus4ForEverySubcommand) {
  WriteOneNode("odd.onnx", "Frobnicate", {1, 4});
  const std::string odd = Path("odd.onnx");
  for (const std::vector<std::string>& words : {std::vector<std::string>{"run", odd},
                                                {"bench", odd},
                                                {"compare", odd, Path("conv.onnx")},
                                                {"compile", odd, "-o", Path("odd.esp")}}) {
    ExpectSays(RunWith(words), kUnsupported, "Frobnicate");
  }
}

TEST_F(RunCommandTest, ShapesAreCheckedAgainstTheModel) {
  WriteConv("open.onnx", std::vector<float>(32, 1.0f), {-1, 4, -1, -1});
  const auto bench = [&](const std::string& shape) {
    return RunWith({"bench", Path("open.onnx"), "--runs", "1", "--quiet", "--shape", shape});
  };
  EXPECT_EQ(bench("x=2x4x5x5").status, kDone);
  ExpectSays(bench("x=2x3x5x5"), kWrongUse, "the model declares float32 [?, 4, ?, ?]");
  ExpectSays(bench("x=2x4"), kWrongUse, "the model declares");
  ExpectSays(bench("z=2x4x5x5"), kWrongUse, "the model has no input 'z'");
  for (const char* text :
       {"x", "x=", "x=1x", "x=axb", "x=-1x4x5x5", "x=1x4x5x5y", "x=99999999999999999999x4x5x5"}) {
    ExpectSays(bench(text), kWrongUse, "expected name=1x3x224x224");
  }
}

TEST_F(RunCommandTest, GuessedShapeThatFailsIsExplained) {
  onnx::ModelProto model = EmptyModel();
  onnx::GraphProto* graph = model.mutable_graph();
  AddValue(graph->add_input(), "x", {1, 4, -1, -1});
  AddValue(graph->add_output(), "y", {1, 1, -1, -1});
  AddWeight(graph, "w", {1, 4, 3, 3}, std::vector<float>(36, 1.0f));
  AddNode(graph, "Conv", {"x", "w"}, "y");
  WriteProto("large.onnx", model);
  const Outcome run = RunWith({"bench", Path("large.onnx")});
  EXPECT_NE(run.status, kDone);
  EXPECT_TRUE(Contains(run.talk,
                       "taking 1 for what the model leaves open in input 'x' float32 "
                       "[1, 4, ?, ?]; give its shape with --shape"))
      << run.talk;
}

}  // namespace
}  // namespace espalier::cli
