#include <fstream>

#include "tests/esp/esp_case.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using EspFileTest = FolderTest;

TEST_F(EspFileTest, RoundTripsEverythingThatAGraphHolds) {
  const Graph graph = RichGraph();
  EspOptions options;
  options.metadata = {{"", "x"}, {"source", "a\nb"}};
  options.hints = {{"conv1", "AVX2", "sparse P=8"}, {"", "", ""}};
  const EspReport report = WriteEsp(graph, Path("model.esp"), options);
  const EspFile file = ReadEsp(Path("model.esp"));
  EXPECT_EQ(GraphDifference(graph, file.graph), "");
  EXPECT_EQ(file.metadata, options.metadata);
  EXPECT_EQ(file.hints, options.hints);
  EXPECT_EQ(report.file_bytes, std::filesystem::file_size(Path("model.esp")));
  EXPECT_EQ(report.constants.size(), graph.constants.size());
}

TEST_F(EspFileTest, BytesInMemoryAreThoseOfTheFile) {
  const Graph graph = RichGraph();
  WriteEsp(graph, Path("model.esp"));
  const std::vector<std::byte> bytes = ToBytes(graph);
  EXPECT_EQ(Read(Path("model.esp")),
            std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  EXPECT_EQ(GraphDifference(graph, ReadEspFromBytes(bytes).graph), "");
}

TEST_F(EspFileTest, ThreadsChangeNothing) {
  std::vector<Constant> constants;
  for (int i = 0; i < 20; ++i) {
    const std::size_t rows = 40 + static_cast<std::size_t>(i);
    constants.push_back({fmt::format("w{}", i), 0,
                         TensorOf(DType::kFloat32, {static_cast<std::int64_t>(rows), 64},
                                  SparseFloats(rows * 64, 0.05 * i))});
  }
  const Graph graph = GraphOf(std::move(constants));
  EspOptions options;
  const std::vector<std::byte> one = ToBytes(graph, options);
  options.threads = 3;
  EXPECT_EQ(one, ToBytes(graph, options));
  EXPECT_EQ(GraphDifference(graph, ReadEspFromBytes(one, 3).graph), "");
}

TEST_F(EspFileTest, LargeTensorsAreAlignedAndKeepEachOtherAlive) {
  const Graph graph = GraphOf({{"a", 0, TensorOf(DType::kFloat32, {99}, SparseFloats(99, 0.5))},
                               {"b", 0, TensorOf(DType::kFloat32, {77}, SparseFloats(77, 0))}});
  Graph read = ReadEspFromBytes(ToBytes(graph)).graph;
  for (const Constant& constant : read.constants) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(constant.tensor.bytes().data()) % 64, 0u);
  }
  read.constants.erase(read.constants.begin());
  EXPECT_TRUE(difference::Same(read.constants[0].tensor, graph.constants[1].tensor));
}

TEST_F(EspFileTest, KeepsAnExistingFileUnlessToldSo) {
  Write("model.esp", "precious");
  ExpectError(ErrorCode::kInvalidArgument, "exists",
              [&] { WriteEsp(RichGraph(), Path("model.esp")); });
  EXPECT_EQ(Read(Path("model.esp")), "precious");
  EspOptions options;
  options.overwrite = Overwrite::kYes;
  WriteEsp(RichGraph(), Path("model.esp"), options);
  EXPECT_EQ(GraphDifference(RichGraph(), ReadEsp(Path("model.esp")).graph), "");
}

TEST_F(EspFileTest, ErrorsNameThePath) {
  ExpectError(ErrorCode::kBadFile, "missing.esp", [&] { ReadEsp(Path("missing.esp")); });
  Write("other.esp", "PK\x03\x04");
  ExpectError(ErrorCode::kBadFile, "not a compressed model", [&] { ReadEsp(Path("other.esp")); });
  ExpectError(ErrorCode::kBadFile, "other.esp", [&] { ReadEsp(Path("other.esp")); });
  Write("empty.esp", "");
  ExpectError(ErrorCode::kBadFile, "not a compressed model", [&] { ReadEsp(Path("empty.esp")); });
}

TEST_F(EspFileTest, LooksLikeEspGoesByTheFirstBytes) {
  const std::vector<std::byte> bytes = ToBytes(RichGraph());
  EXPECT_TRUE(LooksLikeEsp(bytes));
  EXPECT_FALSE(LooksLikeEsp(std::span(bytes).first(7)));
  EXPECT_FALSE(LooksLikeEsp(std::span<const std::byte>()));
  WriteEsp(RichGraph(), Path("any.name"));
  EXPECT_TRUE(LooksLikeEsp(Path("any.name")));
  EXPECT_FALSE(LooksLikeEsp(Path("missing")));
  EXPECT_FALSE(LooksLikeEsp(Path("")));
  EXPECT_FALSE(LooksLikeEsp(Write("short",
                                  "\x89"
                                  "ESP")));
}

void ExpectRefusedGraph(std::string_view text, const Graph& graph) {
  ExpectError(ErrorCode::kInvalidArgument, text, [&] { ToBytes(graph); });
}

TEST_F(EspFileTest, RefusesToWriteWhatItWouldNotRead) {
  ExpectRefusedGraph("no scope", Graph{});
  Graph graph = RichGraph();
  graph.scopes[1].parent = 2;
  ExpectRefusedGraph("scope 1 has parent 2", graph);
  graph = RichGraph();
  graph.scopes[3].kind = Scope::Kind::kMain;
  ExpectRefusedGraph("scope 3 is of the wrong kind", graph);
  graph = RichGraph();
  graph.scopes[0].nodes[0].subgraphs["else_branch"] = 1;
  ExpectRefusedGraph("not a subgraph of its own: scope 1", graph);
  graph = RichGraph();
  graph.scopes[0].nodes[0].subgraphs["else_branch"] = 9;
  ExpectRefusedGraph("scope 9", graph);
  graph = RichGraph();
  graph.constants[0].scope = 4;
  ExpectRefusedGraph("in scope 4 of 4", graph);
  graph = RichGraph();
  graph.constants[4].name = "c0";
  ExpectRefusedGraph("two constants of scope 0", graph);
  graph = RichGraph();
  graph.scopes[0].nodes[0].outputs[0] = "w";
  ExpectRefusedGraph("both a constant and an output", graph);
  graph = RichGraph();
  graph.constants[0].tensor = Tensor::WithoutBytes(DType::kFloat32, {3});
  ExpectRefusedGraph("holds 0 bytes of 12", graph);
  graph = RichGraph();
  graph.scopes[0].values[0].dims = Dims(65, 1);
  ExpectRefusedGraph("65 dimensions", graph);
  graph = RichGraph();
  graph.scopes[0].values[0].dims = Dims{-2};
  ExpectRefusedGraph("dimension of -2", graph);
}

TEST_F(EspFileTest, RefusesScopesThatNestTooDeeply) {
  Graph graph = GraphOf({});
  for (int i = 1; i < 70; ++i) {
    graph.scopes.push_back({Scope::Kind::kSubgraph, i - 1, "", {}, {}, {}, {}});
  }
  ExpectRefusedGraph("scope 64 lies inside 64 others", graph);
  graph.scopes.resize(64);
  EXPECT_EQ(GraphDifference(graph, ReadEspFromBytes(ToBytes(graph)).graph), "");
}

}  // namespace
}  // namespace espalier
