// Models that mean harm, and what stays behind after many runs.
#include <fstream>

#include "espalier/base/error.h"
#include "espalier/base/isa.h"
#include "tests/runtime/runtime_testing.h"

namespace espalier {
namespace {

using testing::FloatVector;
using testing::GraphBuilder;
using testing::IntScalar;
using testing::IntVector;
using testing::RandomTensor;
using testing::RunPlainly;
using testing::TensorOf;
using testing::Tensors;

template <typename Call>
void ExpectError(ErrorCode code, const std::vector<std::string>& parts, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with '" << parts[0] << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
}

SessionOptions Limits(std::uint64_t memory, std::int64_t trips = 1000) {
  SessionOptions options;
  options.tune = false;
  options.memory_limit = memory;
  options.max_loop_trips = trips;
  return options;
}

std::size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

// ---------------------------------------------------------------- Memory

// y = x broadcast to the shape that comes in.
Graph ExpandTo() {
  GraphBuilder builder;
  builder.Input("x", Dims{1}).Input("shape", Dims{-1});
  builder.graph().scopes[0].inputs[1].dtype = DType::kInt64;
  builder.Add("Expand", {"x", "shape"}, {"y"}).Add("Neg", {"y"}, {"z"}).Output("z");
  return builder.graph();
}

Tensors Wanted(const Dims& shape) { return {{"x", FloatVector({1})}, {"shape", IntVector(shape)}}; }

TEST(Memory, IsRefusedBeforeItIsTouched) {
  Session session(ExpandTo());
  EXPECT_GT(session.MemoryLimit(), std::uint64_t{1} << 28);
  ExpectError(ErrorCode::kUnsupported, {"Expand", "[1099511627776]", "the limit of"},
              [&] { session.Run(Wanted({std::int64_t{1} << 40})); });
  const std::size_t before = ResidentBytes();
  Session small(ExpandTo(), Limits(1 << 20));
  ExpectError(
      ErrorCode::kUnsupported,
      {"no room for 536870912 bytes", "the limit of 1048576", "'y'", "[134217728]", "Expand"},
      [&] { small.Run(Wanted({1 << 27})); });
  EXPECT_LT(ResidentBytes() - before, std::size_t{16} << 20);
}

TEST(Memory, OfAllValuesTogetherIsLimited) {
  Session session(ExpandTo(), Limits(1 << 20));
  // 600 kB for y, as much for z.
  ExpectError(ErrorCode::kUnsupported, {"'z'", "Neg"}, [&] { session.Run(Wanted({150000})); });
  EXPECT_EQ(session.Run(Wanted({50000})).at("z").elements(), 50000) << "after an error";
  ExpectError(ErrorCode::kUnsupported, {"'z'"}, [&] { session.Run(Wanted({150000})); });
  EXPECT_EQ(session.Run(Wanted({50000})).at("z").elements(), 50000) << "after an error";
}

TEST(Memory, OfShapesUsedBeforeMakesRoom) {
  GraphBuilder builder;
  builder.Input("x", Dims{-1}).Add("Neg", {"x"}, {"y"}).Output("y");
  Session session(builder.graph(), Limits(1 << 20));
  for (std::int64_t size = 1000; size < 60000; size += 1000) {
    EXPECT_EQ(session.Run(Tensors{{"x", RandomTensor({size}, 1)}}).at("y").elements(), size);
  }
}

TEST(Memory, OfLoopsCounts) {
  GraphBuilder builder;
  builder.Constant("trips", IntScalar(500))
      .Constant("start", RandomTensor({1000}, 1))
      .Add("Loop", {"trips", "", "start"}, {"last", "all"})
      .Output("all");
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body);
  builder.Input("i", Dims{}, body).Input("go", Dims{}, body).Input("v", Dims{1000}, body);
  builder.Add("Neg", {"v"}, {"w"}, {}, body);
  builder.Output("go", body).Output("w", body).Output("w", body);
  Session session(builder.graph(), Limits(1 << 20));
  ExpectError(ErrorCode::kUnsupported, {"Loop", "the limit of 1048576"},
              [&] { session.Run(Tensors()); });
}

TEST(Memory, OfConstantsThatGrowIsLimited) {
  // Each sum of lengths doubles: 2^40 elements at the end.
  GraphBuilder builder;
  builder.Input("x", Dims{1}).Constant("v0", RandomTensor({256}, 1));
  for (int i = 0; i < 32; ++i) {
    builder.Add("Concat", {fmt::format("v{}", i), fmt::format("v{}", i)},
                {fmt::format("v{}", i + 1)}, {{"axis", std::int64_t{0}}});
  }
  builder.Add("Add", {"x", "v32"}, {"y"}).Output("y");
  Session session(builder.graph(), Limits(16 << 20));
  ExpectError(ErrorCode::kUnsupported, {"Concat", "the limit of"}, [&] {
    session.Run(Tensors{{"x", FloatVector({1})}});
  });
}

TEST(Memory, OfRandomInputsIsLimited) {
  GraphBuilder builder;
  builder.Input("x", Dims{std::int64_t{1} << 40}).Add("Neg", {"x"}, {"y"}).Output("y");
  Session session(builder.graph());
  ExpectError(ErrorCode::kUnsupported, {"'x'", "1099511627776"}, [&] { RandomInputs(session, 1); });
}

// ---------------------------------------------------------------- Time

// go stays true; the body counts.
Graph Endless(std::optional<std::int64_t> trips) {
  GraphBuilder builder;
  if (trips) builder.Constant("trips", IntScalar(*trips));
  builder.Input("x", Dims{1}).Add("Loop", {trips ? "trips" : "", "", "x"}, {"last"}).Output("last");
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body);
  builder.Input("i", Dims{}, body).Input("go", Dims{}, body).Input("v", Dims{1}, body);
  builder.Add("Add", {"v", "v"}, {"w"}, {}, body);
  builder.Output("go", body).Output("w", body);
  return builder.graph();
}

TEST(Loops, EndAtTheLimit) {
  const Tensors x = {{"x", FloatVector({0})}};
  for (const auto& trips : {std::optional<std::int64_t>(), {std::int64_t{1} << 62}, {1001}}) {
    Session session(Endless(trips), Limits(1 << 20));
    ExpectError(ErrorCode::kUnsupported, {"Loop", "more than 1000 rounds"},
                [&] { session.Run(x); });
  }
  Session session(Endless(1000), Limits(1 << 20));
  EXPECT_EQ(session.Run(x).size(), 1u);
  EXPECT_EQ(session.Run(x).size(), 1u) << "each run counts anew";
}

TEST(Loops, RefuseACountThatIsNone) {
  Graph graph = Endless(1);
  graph.constants[0].tensor = IntVector({});
  Session session(graph, Limits(1 << 20));
  ExpectError(ErrorCode::kBadFile, {"trip count of 0 elements"}, [&] {
    session.Run(Tensors{{"x", FloatVector({0})}});
  });
}

TEST(EmptyValues, WithHugeDimensionsAreRefused) {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 0, -1}).Add("Transpose", {"x"}, {"y"}).Output("y");
  Session session(builder.graph());
  const Dims huge = {std::int64_t{1} << 31, 0, std::int64_t{1} << 31};
  ExpectError(ErrorCode::kUnsupported, {"empty value"}, [&] {
    session.Run(Tensors{{"x", TensorOf(DType::kFloat32, huge, std::vector<float>())}});
  });
}

// ---------------------------------------------------------------- Graphs

TEST(Graphs, ThatMakeAValueTwiceAreRefused) {
  GraphBuilder twice;
  twice.Input("x", Dims{1}).Add("Neg", {"x"}, {"y"}).Add("Abs", {"x"}, {"y"}).Output("y");
  ExpectError(ErrorCode::kBadFile, {"two things make the value 'y'"},
              [&] { Session session(twice.graph()); });
  GraphBuilder input;
  input.Input("x", Dims{1}).Add("Neg", {"x"}, {"x"}).Output("x");
  ExpectError(ErrorCode::kBadFile, {"'x'"}, [&] { Session session(input.graph()); });
}

TEST(Graphs, WithWrongSubgraphsAreRefused) {
  for (const int inner : {-1, 0, 2, 1000}) {
    Graph graph = Endless(1);
    graph.scopes.resize(2);
    graph.scopes[0].nodes[0].subgraphs["body"] = inner;
    ExpectError(ErrorCode::kBadFile, {"Loop"}, [&] { Session session(graph); });
  }
  ExpectError(ErrorCode::kBadFile, {"no scope"}, [&] { Session session(Graph{}); });
}

TEST(Graphs, ThatReadWhatComesLaterAreRefused) {
  GraphBuilder builder;
  builder.Input("x", Dims{1}).Add("Neg", {"b"}, {"a"}).Add("Neg", {"a"}, {"b"}).Output("b");
  Session session(builder.graph());
  for (int i = 0; i < 2; ++i) {
    ExpectError(ErrorCode::kBadFile, {"nothing makes the value 'b'"}, [&] {
      session.Run(Tensors{{"x", FloatVector({0})}});
    });
  }
}

// A value that is float32 in one run and int8 in the next: less memory than its reader expects.
TEST(Graphs, WhoseTypesDependOnDataAreChecked) {
  GraphBuilder builder;
  builder.Input("x", Dims{64, 8}).Input("c", Dims{});
  builder.graph().scopes[0].inputs[1].dtype = DType::kBool;
  builder.Constant("w", RandomTensor({8, 3}, 1))
      .Add("If", {"c"}, {"a"})
      .Add("MatMul", {"a", "w"}, {"y"})
      .Output("y");
  const int yes = builder.AddScope(Scope::Kind::kSubgraph, 0);
  const int no = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.graph().scopes[0].nodes[0].subgraphs = {{"then_branch", yes}, {"else_branch", no}};
  builder.Add("Neg", {"x"}, {"p"}, {}, yes).Output("p", yes);
  builder.Add("Cast", {"x"}, {"q"}, {{"to", std::int64_t{3}}}, no).Output("q", no);
  Session session(builder.graph(), Limits(1 << 20));
  const auto inputs = [](std::uint8_t c) {
    return Tensors{{"x", RandomTensor({64, 8}, 2)},
                   {"c", TensorOf(DType::kBool, {}, std::vector<std::uint8_t>{c})}};
  };
  EXPECT_EQ(session.Run(inputs(1)).at("y").elements(), 64 * 3);
  ExpectError(ErrorCode::kBadFile, {"int8", "MatMul"}, [&] { session.Run(inputs(0)); });
  EXPECT_EQ(session.Run(inputs(1)).at("y").elements(), 64 * 3);
}

// Both batches are open, and the sum broadcasts the layer's output, not the other addend.
TEST(Graphs, WithOpenBatchesMayBroadcastALayer) {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 8})
      .Input("z", Dims{-1, 3})
      .Constant("w", RandomTensor({8, 3}, 1))
      .Add("MatMul", {"x", "w"}, {"a"})
      .Add("Add", {"a", "z"}, {"y"})
      .Output("y");
  for (const std::int64_t batch : {1, 4}) {
    const Tensors inputs = {{"x", RandomTensor({1, 8}, 2)}, {"z", RandomTensor({batch, 3}, 3)}};
    testing::ExpectSameFunction(builder.graph(), inputs);
  }
}

TEST(Graphs, WithAScalarForAProductAreRefused) {
  GraphBuilder builder;
  builder.Input("x", Dims{})
      .Constant("w", RandomTensor({8, 3}, 1))
      .Add("MatMul", {"x", "w"}, {"y"})
      .Output("y");
  Session session(builder.graph());
  ExpectError(ErrorCode::kBadFile, {"MatMul"}, [&] {
    session.Run(Tensors{{"x", RandomTensor({}, 1)}});
  });
}

// Choices come from files.
TEST(Choices, ThatDoNotFitDoNoHarm) {
  GraphBuilder builder;
  builder.Input("x", Dims{1, 16, 5, 5})
      .Constant("w", RandomTensor({17, 16, 1, 1}, 1, 4))
      .Constant("k", RandomTensor({5, 17, 3, 3}, 2, 4))
      .Add("Conv", {"x", "w"}, {"a"})
      .Add("Conv", {"a", "k"}, {"b"})
      .Output("b");
  const Tensors inputs = {{"x", RandomTensor({1, 16, 5, 5}, 3)}};
  const Tensors want = RunPlainly(builder.graph(), inputs);
  for (const char* text :
       {"", "general", "dense f32 8x16", "dense f32 0x0", "dense f32 1024x4294967295",
        "dense f32 7x1", "unstructured f32 1x1", "unstructured f32 513x3", "nm2:4 f32 8x16",
        "nm1:16 f32 8x16", "nm1:4000000000 f32 8x8", "nm64:64 f32 3x3", "rows4 f32 24x5",
        "columns4 f32 8x2", "rows2 f32 1x1", "dense f32 -1x-1", "dense f32 99999999999x1", "nm"}) {
    SCOPED_TRACE(text);
    SessionOptions options = Limits(1 << 24);
    options.choices = {{"a", ActiveIsa(), text}, {"b", ActiveIsa(), text}};
    Session session(builder.graph(), options);
    try {
      testing::ExpectClose(session.Run(inputs), want, 1e-5);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    }
  }
}

// ---------------------------------------------------------------- Many runs

Graph Network() {
  GraphBuilder builder;
  builder.Input("x", Dims{-1, 8, 12, 12})
      .Constant("w1", RandomTensor({16, 8, 3, 3}, 1, 4))
      .Constant("w2", RandomTensor({32, 16, 1, 1}, 2, 6))
      .Constant("head", RandomTensor({32, 10}, 3))
      .Add("Conv", {"x", "w1"}, {"a"})
      .Add("Relu", {"a"}, {"b"})
      .Add("Conv", {"b", "w2"}, {"c"})
      .Add("NonZero", {"c"}, {"where"})
      .Add("GlobalAveragePool", {"c"}, {"d"})
      .Add("Flatten", {"d"}, {"e"})
      .Add("MatMul", {"e", "head"}, {"f"})
      .Output("f")
      .Output("where");
  return builder.graph();
}

// What the process holds after `more` calls beyond a warm-up of `warm`, in bytes.
template <typename Call>
std::ptrdiff_t Growth(int warm, int more, const Call& call) {
  for (int i = 0; i < warm; ++i) call(i);
  const std::size_t before = ResidentBytes();
  for (int i = 0; i < more; ++i) call(i);
  return static_cast<std::ptrdiff_t>(ResidentBytes() - before);
}

// Sanitizers keep freed memory.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ESPALIER_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(ESPALIER_SANITIZED)
constexpr bool kCounts = false;
#else
constexpr bool kCounts = true;
#endif

void ExpectNoLeak(std::ptrdiff_t growth, std::ptrdiff_t most = 1 << 20) {
  if (!kCounts) return;
  EXPECT_LT(growth, most);
}

TEST(Leaks, AThousandRunsLeakNothing) {
  Session session(Network());
  std::vector<Tensors> inputs;
  for (std::int64_t batch = 1; batch <= 3; ++batch) {
    inputs.push_back({{"x", RandomTensor({batch, 8, 12, 12}, 5)}});
  }
  const auto growth = Growth(
      100, 1000, [&](int i) { session.Run(inputs[static_cast<std::size_t>(i) % inputs.size()]); });
  ExpectNoLeak(growth);
}

// Plans come and go: what they leave is the heap's waste between blocks of other sizes. All 300
// kept would take 900 MB.
TEST(Leaks, NewShapesLeakNothing) {
  Session session(Network(), Limits(64 << 20));
  const auto growth = Growth(60, 300, [&](int i) {
    session.Run(Tensors{{"x", RandomTensor({1 + i % 20, 8, 12, 12}, 5)}});
  });
  ExpectNoLeak(growth, 32 << 20);
}

TEST(Leaks, SessionsLeakNothing) {
  const Tensors inputs = {{"x", RandomTensor({2, 8, 12, 12}, 5)}};
  const auto growth = Growth(40, 200, [&](int i) {
    Session session(Network(), Limits(64 << 20));
    if (i % 2 == 0) session.Run(inputs);
  });
  ExpectNoLeak(growth);
}

}  // namespace
}  // namespace espalier
