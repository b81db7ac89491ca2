#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>

#include "runtime_testing.h"

namespace espalier::cli {
namespace {

// chain.onnx: x [1, 8, 3, 3] - 1x1 conv "first" to 16 channels - Relu - 1x1 conv "second" to 8 - y.
class PermuteCommandTest : public RuntimeCliTest {
 protected:
  void SetUp() override {
    RuntimeCliTest::SetUp();
    WriteProto("chain.onnx", Chain());
    std::mt19937 random(1);
    std::vector<float> values(16 * 16);
    for (float& value : values) value = std::normal_distribution<float>()(random);
    WriteMatrix("m.npy", {16, 16}, values);
  }

  static onnx::ModelProto Chain() {
    std::mt19937 random(2);
    const auto numbers = [&random](std::size_t count) {
      std::vector<float> values(count);
      for (float& value : values) value = std::normal_distribution<float>()(random);
      return values;
    };
    onnx::ModelProto model = EmptyModel();
    onnx::GraphProto* graph = model.mutable_graph();
    AddValue(graph->add_input(), "x", {1, 8, 3, 3});
    AddValue(graph->add_output(), "y", {1, 8, 3, 3});
    AddWeight(graph, "w1", {16, 8, 1, 1}, numbers(128));
    AddWeight(graph, "b1", {16}, numbers(16));
    AddWeight(graph, "w2", {8, 16, 1, 1}, numbers(128));
    AddNode(graph, "Conv", {"x", "w1", "b1"}, "a")->set_name("first");
    AddNode(graph, "Relu", {"a"}, "b");
    AddNode(graph, "Conv", {"b", "w2"}, "y")->set_name("second");
    return model;
  }

  // y goes into an operator that nobody knows, and z comes out.
  onnx::ModelProto WithMystery(const std::vector<std::int64_t>& dims) const {
    onnx::ModelProto model = Chain();
    onnx::NodeProto* extra = AddNode(model.mutable_graph(), "Mystery", {"y"}, "z");
    extra->set_domain("some.where");
    model.add_opset_import()->set_domain("some.where");
    model.mutable_opset_import(1)->set_version(1);
    AddValue(model.mutable_graph()->add_output(), "z", dims);
    return model;
  }

  Outcome Permute(std::vector<std::string> options, const std::string& model = "chain.onnx",
                  const std::string& output = "p.onnx") {
    options.insert(options.begin(), {"permute", Path(model)});
    if (!output.empty()) options.insert(options.end(), {"-o", Path(output)});
    return RunWith(options);
  }

  std::string ReadText(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
};

const std::vector<std::string> kTwoFour = {"--pattern", "2:4"};

TEST_F(PermuteCommandTest, ReordersAndSaysWhatIsKept) {
  const Outcome run = Permute({"--pattern", "2:4", "--json"});
  ASSERT_EQ(run.status, kDone) << run.talk;
  const nlohmann::json json = run.Json();
  const nlohmann::json& groups = json.at("groups");
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].at("reason"), "they are the input 'x'");
  EXPECT_FALSE(groups[0].at("applied"));
  EXPECT_EQ(groups[1].at("layers"), nlohmann::json({"second"}));
  EXPECT_EQ(groups[1].at("channels"), 16);
  EXPECT_TRUE(groups[1].at("applied"));
  EXPECT_GT(groups[1].at("kept_after"), groups[1].at("kept_before"));
  EXPECT_LT(json.at("difference"), 1e-5);
  EXPECT_EQ(json.at("tensors"), 3);  // w1, b1, w2
  const Outcome compare =
      RunWith({"compare", Path("chain.onnx"), Path("p.onnx"), "--tolerance", "1e-5"});
  EXPECT_EQ(compare.status, kDone) << compare.out << compare.talk;
}

TEST_F(PermuteCommandTest, TableHasALineForEachGroup) {
  const Outcome run = Permute(kTwoFour);
  for (const char* part : {"channels read by", "they are the input 'x'", "second", "16",
                           "1 of 2 groups of channels reordered for 2:4, 3 tensors",
                           "on random inputs outputs differ by"}) {
    EXPECT_TRUE(Contains(run.out, part)) << part << "\n" << run.out;
  }
}

TEST_F(PermuteCommandTest, UndoGivesTheOldFileBack) {
  ASSERT_EQ(Permute(kTwoFour).status, kDone);
  EXPECT_NE(ReadText("p.onnx"), ReadText("chain.onnx"));
  const Outcome run = Permute({"--undo"}, "p.onnx", "u.onnx");
  ASSERT_EQ(run.status, kDone) << run.talk;
  EXPECT_TRUE(Contains(run.out, "3 tensors back in their old order")) << run.out;
  onnx::ModelProto undone, original;
  ASSERT_TRUE(undone.ParseFromString(ReadText("u.onnx")));
  ASSERT_TRUE(original.ParseFromString(ReadText("chain.onnx")));
  EXPECT_EQ(undone.SerializeAsString(), original.SerializeAsString());
  const Outcome again = Permute({"--undo"}, "u.onnx", "v.onnx");
  EXPECT_EQ(again.status, kWrongUse);
  EXPECT_TRUE(Contains(again.talk, "nothing to undo")) << again.talk;
  EXPECT_FALSE(std::filesystem::exists(Path("v.onnx")));
}

TEST_F(PermuteCommandTest, LayersThatAreNotPrunedDoNotCount) {
  const Outcome run = Permute({"--pattern", "2:4", "--skip", "name:second", "--json"});
  ASSERT_EQ(run.status, kDone) << run.talk;
  EXPECT_TRUE(Contains(run.Json().at("groups")[1].at("reason").get<std::string>(),
                       "'second': --skip name:second"));
  EXPECT_EQ(run.Json().at("difference"), nullptr);
  EXPECT_EQ(ReadText("p.onnx"), ReadText("chain.onnx"));
}

TEST_F(PermuteCommandTest, PruneWithPermuteKeepsMore) {
  const auto prune = [this](std::vector<std::string> options) {
    options.insert(options.begin(), {"prune", Path("chain.onnx"), "--pattern", "2:4", "--align",
                                     "none", "--json", "--force", "-o", Path("s.onnx")});
    return RunWith(options);
  };
  const Outcome plain = prune({});
  const Outcome permuted = prune({"--permute"});
  ASSERT_EQ(permuted.status, kDone) << permuted.talk;
  EXPECT_GT(permuted.Json().at("kept_magnitude"), plain.Json().at("kept_magnitude"));
  EXPECT_EQ(permuted.Json().at("groups").size(), 2u);
  EXPECT_EQ(RunWith({"verify", Path("s.onnx"), "--pattern", "2:4", "--align", "none"}).status,
            kDone);
}

TEST_F(PermuteCommandTest, SearchesAMatrixAlone) {
  const Outcome run = Permute({"--pattern", "2:4", "--json"}, "m.npy", "");
  ASSERT_EQ(run.status, kDone) << run.talk;
  const nlohmann::json json = run.Json();
  std::vector<int> order = json.at("order");
  EXPECT_GT(json.at("kept_after"), json.at("kept_before"));
  EXPECT_GT(json.at("efficacy"), 0);
  ASSERT_EQ(Permute({"--pattern", "2:4"}, "m.npy", "o.npy").status, kDone);
  const std::vector<float> before = ReadMatrix("m.npy");
  const std::vector<float> after = ReadMatrix("o.npy");
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i], before[i / 16 * 16 + static_cast<std::size_t>(order[i % 16])]);
  }
  std::ranges::sort(order);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_F(PermuteCommandTest, SaysWhatIsWrong) {
  const struct {
    std::vector<std::string> options;
    const char* model;
    const char* output;
    int status;
    const char* says;
  } cases[] = {
      {{}, "chain.onnx", "p.onnx", kWrongUse, "--pattern is required"},
      {kTwoFour, "chain.onnx", "", kWrongUse, "-o is required"},
      {{"--undo", "--pattern", "2:4"}, "chain.onnx", "p.onnx", kWrongUse, "takes no --pattern"},
      {{"--pattern", "unstructured"}, "chain.onnx", "p.onnx", kWrongUse, "N:M"},
      {{"--pattern", "2:5"}, "m.npy", "", kWrongUse, "16 columns"},
      {{"--undo"}, "m.npy", "o.npy", kWrongUse, "needs an ONNX model"},
      {kTwoFour, "none.onnx", "p.onnx", kBadFile, "none.onnx"},
  };
  for (const auto& test : cases) {
    const Outcome run = Permute(test.options, test.model, test.output);
    EXPECT_EQ(run.status, test.status) << run.talk;
    EXPECT_TRUE(Contains(run.talk, test.says)) << run.talk;
    EXPECT_FALSE(std::filesystem::exists(Path("p.onnx")));
  }
}

TEST_F(PermuteCommandTest, AWeightThatIsNanIsNamed) {
  onnx::ModelProto model = Chain();
  model.mutable_graph()->mutable_initializer(2)->set_float_data(5, NAN);
  WriteProto("nan.onnx", model);
  const Outcome run = Permute(kTwoFour, "nan.onnx");
  EXPECT_EQ(run.status, kBadFile);
  EXPECT_TRUE(Contains(run.talk, "'second'") && Contains(run.talk, "element 5")) << run.talk;
}

TEST_F(PermuteCommandTest, AnOperatorThatTheRuntimeLacksIsCutOutOfTheCheck) {
  WriteProto("odd.onnx", WithMystery({1, 8, 3, 3}));
  const Outcome run = Permute(kTwoFour, "odd.onnx");
  EXPECT_EQ(run.status, kDone) << run.talk;
  EXPECT_TRUE(Contains(run.talk, "the check ran without Mystery")) << run.talk;
  EXPECT_TRUE(Contains(run.out, "on random inputs outputs differ by")) << run.out;
}

TEST_F(PermuteCommandTest, AnOperatorThatTheRuntimeLacksStopsTheCheckWithoutAShape) {
  WriteProto("odd.onnx", WithMystery({-1, 8, 3, 3}));
  const Outcome run = Permute(kTwoFour, "odd.onnx");
  EXPECT_EQ(run.status, kUnsupported);
  EXPECT_TRUE(Contains(run.talk, "Mystery") && Contains(run.talk, "--no-check")) << run.talk;
  EXPECT_FALSE(std::filesystem::exists(Path("p.onnx")));
  EXPECT_EQ(Permute({"--pattern", "2:4", "--no-check"}, "odd.onnx").status, kDone);
}

}  // namespace
}  // namespace espalier::cli
