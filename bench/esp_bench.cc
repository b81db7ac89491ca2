// Reading compressed models: time beside a memcpy of the dense weight, and size. One weight of
// 2048 x 2048; the time includes fresh memory for it, which the memcpy does not need.
#include <algorithm>
#include <map>

#include "bench/ratio.h"
#include "espalier/esp/esp_file.h"

namespace espalier {
namespace {

constexpr std::size_t kSide = 2048;

struct EspCase {
  std::string name;
  std::vector<std::byte> file;
  std::string encoding;
};

Graph GraphOfWeight(const std::vector<float>& values) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  Graph graph;
  graph.scopes.resize(1);
  graph.opsets[""] = 17;
  graph.constants.push_back(
      {"w", 0, Tensor(DType::kFloat32, {kSide, kSide}, {bytes.begin(), bytes.end()})});
  Node node;
  node.op_type = "MatMul";
  node.inputs = {"x", "w"};
  node.outputs = {"y"};
  graph.scopes[0].nodes.push_back(std::move(node));
  return graph;
}

EspCase MakeCase(const std::string& weights, const std::vector<float>& values, EspValues type) {
  const char* const names[] = {"f32", "f16", "bf16"};
  EspOptions options;
  options.values = type;
  EspReport report;
  EspCase made;
  made.name = fmt::format("{} {}", weights, names[static_cast<int>(type)]);
  made.file = WriteEspToBytes(GraphOfWeight(values), options, &report);
  made.encoding = report.constants[0].encoding;
  return made;
}

std::vector<EspCase> MakeCases(const std::vector<float>& dense) {
  std::mt19937 random(2);
  std::map<std::string, std::vector<float>> weights = {{"dense", dense}};
  for (const int percent : {50, 75, 85, 95}) {
    std::vector<float>& values = weights[fmt::format("{} % zeros", percent)] = dense;
    for (float& value : values) value = random() % 100 < static_cast<unsigned>(percent) ? 0 : value;
  }
  std::vector<float>& pairs = weights["2:4"] = dense;
  for (std::size_t i = 0; i < pairs.size(); i += 4) {
    const std::size_t first = random() % 4;
    pairs[i + first] = pairs[i + (first + 1 + random() % 3) % 4] = 0;
  }
  std::vector<EspCase> cases;
  for (const auto& [name, values] : weights) {
    for (const EspValues type : {EspValues::kFloat32, EspValues::kFloat16, EspValues::kBFloat16}) {
      cases.push_back(MakeCase(name, values, type));
    }
  }
  return cases;
}

int Main(int argc, char** argv) {
  const std::vector<float> dense = NormalWeights(kSide * kSide);
  const std::vector<EspCase> cases = MakeCases(dense);
  RegisterMemcpy("memcpy float32", dense);
  for (const EspCase& each : cases) {
    RegisterRatio("read " + each.name, dense, [&each](std::vector<float>&) {
      benchmark::DoNotOptimize(ReadEspFromBytes(each.file));
    });
  }
  const int status = RunRatioBenchmarks(argc, argv);
  fmt::print("\n{:<20}{:<26}{:>8}{:>14}\n", "weight", "encoding", "size", "bits a weight");
  for (const EspCase& each : cases) {
    const double share =
        static_cast<double>(each.file.size()) / static_cast<double>(4 * dense.size());
    fmt::print("{:<20}{:<26}{:>8.3f}{:>14.2f}\n", each.name, each.encoding, share, 32 * share);
  }
  return status;
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
