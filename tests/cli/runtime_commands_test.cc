#include <filesystem>

#include "runtime_testing.h"

namespace espalier::cli {
namespace {

using RuntimeCommandsTest = RuntimeCliTest;

TEST_F(RuntimeCommandsTest, HelpFits80Columns) {
  for (const char* name : {"run", "compare", "bench", "eval", "compile"}) {
    const Outcome run = RunWith({name, "--help"});
    EXPECT_EQ(run.status, kDone);
    EXPECT_LE(WidestLine(run.out), 80u) << run.out;
    EXPECT_TRUE(Contains(run.out, "--tune")) << name;
  }
}

TEST_F(RuntimeCommandsTest, MissingAndUnknownWordsAreWrongUse) {
  const std::string model = Path("conv.onnx");
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"run"}, "MODEL is required"},
      {{"compare", model}, "OTHER is required"},
      {{"compile", model}, "--output is required"},
      {{"eval", model, "--preprocess", "raw"}, "--data is required"},
      {{"eval", model, "--data", "."}, "--preprocess is required"},
      {{"bench", model, "--tune", "maybe"}, "--tune: maybe not in {on,off}"},
      {{"bench", model, "--runs", "0"}, "--runs"},
      {{"bench", model, "--warmup", "-1"}, "--warmup"},
      {{"compare", model, model, "--tolerance", "nan"}, "'nan' is not a finite number"},
      {{"compare", model, model, "--samples", "0"}, "--samples"},
      {{"compile", model, "-o", "x.esp", "--values", "f8"}, "--values: f8 not in"},
      {{"compile", model, "-o", Path("x.onnx")}, "looks like another format"},
      {{"eval", model, "--data", ".", "--preprocess", "nonsense"}, "imagenet-caffe"},
      {{"eval", model, "--data", ".", "--preprocess", "raw", "--mean", "a"}, "a"},
      {{"eval", model, "--data", ".", "--preprocess", "raw", "--format", "jpg"}, "numpy"}};
  for (const auto& [words, says] : cases) {
    const Outcome run = RunWith(words);
    EXPECT_EQ(run.status, kWrongUse) << run.talk;
    EXPECT_EQ(run.out, "");
    EXPECT_TRUE(Contains(run.talk, says)) << run.talk << says;
  }
}

TEST_F(RuntimeCommandsTest, BenchTellsEachLayerAndTheRatio) {
  const std::vector<std::string> words = {"bench",           Path("conv.onnx"), "--against",
                                          Path("conv.onnx"), "--runs",          "3"};
  const Outcome text = RunWith(words);
  EXPECT_EQ(text.status, kDone) << text.talk;
  EXPECT_TRUE(Contains(text.out, "Conv+Relu")) << text.out;
  EXPECT_TRUE(Contains(text.out, "78.1%")) << text.out;
  EXPECT_TRUE(Contains(text.out, " times as fast as")) << text.out;
  std::vector<std::string> as_json = words;
  as_json.push_back("--json");
  const nlohmann::json json = RunWith(as_json).Json();
  for (const char* key : {"model", "threads", "isa", "min_ms", "p10_ms", "median_ms", "peak_rss",
                          "model_bytes", "layers", "against", "speedup"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_GT(json.at("median_ms"), 0.0);
  EXPECT_LE(json.at("min_ms"), json.at("median_ms"));
  const nlohmann::json layer = json.at("layers").at(0);
  EXPECT_EQ(layer.at("name"), "mix");
  EXPECT_EQ(layer.at("op"), "Conv+Relu");
  EXPECT_EQ(layer.at("sparsity"), 25.0 / 32);  // channel 3 has no weight at all
  EXPECT_NE(layer.at("kernel"), "");
  EXPECT_NE(layer.at("reason"), "");
}

TEST_F(RuntimeCommandsTest, BenchTableFits80ColumnsWithLongNames) {
  onnx::ModelProto model = EmptyModel();
  onnx::GraphProto* graph = model.mutable_graph();
  const std::string name = "/model/backbone/stage2/block3/branch1/convolution/Conv";
  AddValue(graph->add_input(), "x", {1, 4, 3, 3});
  AddValue(graph->add_output(), "y", {1, 8, 3, 3});
  AddWeight(graph, "w", {8, 4, 1, 1}, std::vector<float>(32, 1.0f));
  AddNode(graph, "Conv", {"x", "w"}, "c")->set_name(name);
  AddNode(graph, "HardSwish", {"c"}, "y");
  WriteProto("m.onnx", model);
  // Which kernel is the fastest, and so how long the lines are, changes from run to run.
  for (int i = 0; i < 20; ++i) {
    const Outcome run = RunWith({"bench", Path("m.onnx"), "--runs", "1"});
    EXPECT_EQ(run.status, kDone) << run.talk;
    EXPECT_LE(WidestLine(run.out), 80u) << run.out;
  }
}

TEST_F(RuntimeCommandsTest, TuningCanBeSwitchedOff) {
  const auto reason = [&](const char* tune) {
    return RunWith({"bench", Path("conv.onnx"), "--runs", "1", "--tune", tune, "--json"})
        .Json()
        .at("layers")
        .at(0)
        .at("reason");
  };
  EXPECT_EQ(reason("off"), "cost model");
  EXPECT_NE(reason("on"), "cost model");
}

TEST_F(RuntimeCommandsTest, CompareGivesTheDifferenceAndAVerdict) {
  std::vector<float> weight(32, 0.0f);
  for (std::size_t k = 0; k < 8; ++k) weight[k * 4 + k % 4] = static_cast<float>(k) - 3;
  weight[31] = 2;  // was 4
  WriteConv("other.onnx", weight, {1, 4, 3, 3});
  WriteMatrix("x.npy", {1, 4, 3, 3}, std::vector<float>(36, 1.0f));
  const std::vector<std::string> words = {"compare", Path("conv.onnx"), Path("other.onnx"),
                                          "--input", Path("x.npy")};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), words.begin(), words.end());
    return RunWith(more);
  };
  EXPECT_EQ(with({}).status, kDone);
  EXPECT_EQ(with({"--tolerance", "0.5"}).status, kDone);
  const Outcome no = with({"--tolerance", "0.4"});
  EXPECT_EQ(no.status, kCheckSaidNo);
  EXPECT_TRUE(Contains(no.out, "ABOVE 0.4")) << no.out;
  const nlohmann::json json = with({"--tolerance", "0.4", "--json"}).Json();
  EXPECT_EQ(json.at("relative"), 0.5);
  EXPECT_EQ(json.at("tolerance"), 0.4);
  EXPECT_EQ(json.at("within_tolerance"), false);
  EXPECT_EQ(
      json.at("outputs").at(0),
      nlohmann::json({{"name", "y"}, {"max_abs_diff", 2.0}, {"max_abs", 4.0}, {"relative", 0.5}}));
  EXPECT_EQ(with({"--json"}).Json().at("within_tolerance"), nullptr);
}

TEST_F(RuntimeCommandsTest, CompareNamesTheModelThatDoesNotTakeTheInputs) {
  WriteClassifier("other.onnx");
  const Outcome run = RunWith({"compare", Path("conv.onnx"), Path("other.onnx")});
  EXPECT_EQ(run.status, kWrongUse);
  EXPECT_TRUE(Contains(run.talk, "running '" + Path("other.onnx"))) << run.talk;
}

TEST_F(RuntimeCommandsTest, CompiledFileGivesTheSameOutputs) {
  const Outcome run = RunWith({"compile", Path("conv.onnx"), "-o", Path("c.esp"), "--json"});
  ASSERT_EQ(run.status, kDone) << run.talk;
  const nlohmann::json json = run.Json();
  EXPECT_EQ(json.at("output_bytes"), std::filesystem::file_size(Path("c.esp")));
  EXPECT_EQ(json.at("model_bytes"), std::filesystem::file_size(Path("conv.onnx")));
  EXPECT_EQ(json.at("values"), "f32");
  EXPECT_EQ(json.at("tuned_layers"), 1);
  for (const char* key : {"name", "encoding", "bytes_before", "bytes_after", "max_error", "note"}) {
    EXPECT_TRUE(json.at("constants").at(0).contains(key)) << key;
  }
  EXPECT_EQ(RunWith({"compare", Path("conv.onnx"), Path("c.esp"), "--tolerance", "0"}).status,
            kDone);
  const nlohmann::json bench = RunWith({"bench", Path("c.esp"), "--runs", "1", "--json"}).Json();
  EXPECT_EQ(bench.at("layers").at(0).at("reason"), "chosen before");
}

TEST_F(RuntimeCommandsTest, CompileOverwritesOnlyByForceAndStoresNoChoiceWithoutTuning) {
  WriteText("c.esp", "mine");
  const std::vector<std::string> words = {"compile", Path("conv.onnx"), "-o", Path("c.esp")};
  EXPECT_EQ(RunWith(words).status, kWrongUse);
  std::vector<std::string> forced = words;
  forced.insert(forced.end(), {"--force", "--tune", "off", "--json"});
  EXPECT_EQ(RunWith(forced).Json().at("tuned_layers"), 0);
}

TEST_F(RuntimeCommandsTest, DamagedCompiledFileIsStatus3) {
  ASSERT_EQ(RunWith({"compile", Path("conv.onnx"), "-o", Path("c.esp"), "--quiet"}).status, kDone);
  std::filesystem::resize_file(Path("c.esp"), std::filesystem::file_size(Path("c.esp")) - 64);
  EXPECT_EQ(RunWith({"run", Path("c.esp")}).status, kBadFile);
}

TEST_F(RuntimeCommandsTest, EvalCountsRightAnswers) {
  WriteClassifier("c.onnx");
  std::filesystem::create_directory(Path("data"));
  WriteMatrix("data/inputs.npy", {4, 3}, {9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 9, 0});
  WriteLabels("data/labels.npy", {0, 1, 2, 0});
  const std::vector<std::string> words = {"eval",       Path("c.onnx"), "--data",
                                          Path("data"), "--preprocess", "raw"};
  const Outcome text = RunWith(words);
  EXPECT_EQ(text.status, kDone) << text.talk;
  EXPECT_TRUE(Contains(text.out, "4 samples: top-1 75.00 %, top-5 100.00 %")) << text.out;
  std::vector<std::string> first = words;
  first.insert(first.end(), {"--limit", "3", "--json"});
  const nlohmann::json json = RunWith(first).Json();
  EXPECT_EQ(json.at("samples"), 3);
  EXPECT_EQ(json.at("top1"), 1.0);
  EXPECT_EQ(json.at("top5"), 1.0);
  for (const char* key : {"model", "data", "preprocess", "loss"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
}

TEST_F(RuntimeCommandsTest, EvalAsksWhichOutputHoldsTheClasses) {
  WriteClassifier("c.onnx");
  std::filesystem::create_directory(Path("data"));
  WriteMatrix("data/inputs.npy", {1, 3}, {9, 0, 0});
  WriteLabels("data/labels.npy", {0});
  const Outcome run = RunWith(
      {"eval", Path("c.onnx"), "--data", Path("data"), "--preprocess", "raw", "--output", "z"});
  EXPECT_EQ(run.status, kWrongUse);
  EXPECT_TRUE(Contains(run.talk, "there is no output 'z'; the model's outputs are y")) << run.talk;
  WriteLabels("data/labels.npy", {7});
  EXPECT_NE(RunWith({"eval", Path("c.onnx"), "--data", Path("data"), "--preprocess", "raw"}).status,
            kDone);
}

}  // namespace
}  // namespace espalier::cli
